"""
Cascades, step by step
======================

**Question.** A regression has put the points roughly right. Why look again?

Because now one can look *at the points* instead of at the whole picture, and a second regression can learn
what the first one leaves over. A cascade does that several times. Each step is linear; together they are
not.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_landmarks, resize_points
from hybridkp.landmarks import CascadedRegressor, MeanShape

data = hybridkp.make_faces(240, random_state=3)
faces = make_crops(data, size_hw=(96, 96))
images, xy = faces.images, faces.xy
train, test = slice(0, 180), slice(180, 240)
model = CascadedRegressor(scales=(0.7, 1.0, 1.25))
model.fit(images[train], xy[train], groups=faces.groups[train], flip=faces.flip)

# %%
# What each step does
# -------------------
# Yellow: the points after the step. Cyan rings: where they should be.

stages = model.stages(images[test])
b = 12
_, axes = plt.subplots(1, len(stages), figsize=(11, 3))
for ax, stage in zip(axes, stages, strict=True):
    large = np.repeat(np.repeat(images[180 + b], 4, 0), 4, 1)
    drawn = draw_landmarks(large, resize_points(stage.xy[b], 4), truth=resize_points(xy[180 + b], 4))
    ax.imshow(drawn[..., ::-1])
    error = np.linalg.norm(stage.xy[b] - xy[180 + b], axis=-1).mean()
    ax.set_title(f"{stage.name}: {error:.2f} px", fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Over all test faces: every step helps, and each looks closer than the one before. The band holds the
# middle half of the faces.

off = np.array([np.linalg.norm(s.xy - xy[test], axis=-1).mean(1) for s in stages])
plt.figure(figsize=(6, 3.2))
steps = np.arange(len(stages))
plt.plot(steps, np.median(off, axis=1), "o-", label="median of the faces")
plt.fill_between(steps, *np.percentile(off, [25, 75], axis=1), alpha=0.2, label="quartiles")
plt.xticks(steps, [s.name for s in stages], fontsize=8)
plt.ylabel("error, px")
plt.ylim(0)
plt.legend()
plt.tight_layout()

# %%
# Why the training needs care
# ---------------------------
# A regression makes smaller errors on the faces that it learned from than on new ones. If the second step
# learned from *those*, it would meet larger errors in use than it has ever seen. So each step here learns
# from what the step before says of faces that were held out. How large is the difference?

seen = np.linalg.norm(model.start_.predict(images[train]) - xy[train], axis=-1).mean()
held_out = model.history_["held-out error (px)"][0]
print(f"the start, on faces it learned from: {seen:.2f} px; on faces held out of it: {held_out:.2f} px;")
print(f"on the test faces: {off[0].mean():.2f} px")

# %%
# Exercise
# --------
# How good must the start be? Let the cascade start from the mean shape instead of a regression.

# %%
# A solution
# ----------
# The steps repair much of a poor start, but not all of it: where the points begin too far away, what is
# seen around them says nothing about where to go.

poor = CascadedRegressor(scales=(0.7, 1.0, 1.25), start=MeanShape())
poor.fit(images[train], xy[train], groups=faces.groups[train], flip=faces.flip)
far = np.array([np.linalg.norm(s.xy - xy[test], axis=-1).mean(1) for s in poor.stages(images[test])])
plt.figure(figsize=(6, 3.2))
plt.plot(off.mean(1), "o-", label="from a regression")
plt.plot(far.mean(1), "o-", label="from the mean shape")
plt.xlabel("steps")
plt.xticks(steps)
plt.ylabel("mean error, px")
plt.ylim(0)
plt.legend()
plt.tight_layout()
