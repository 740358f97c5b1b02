"""
Shape models
============

**Question.** One of twenty points is lost. Can the other nineteen say where it must be?

Faces differ, but not in every way: eyes do not lie below mouths. A point distribution model learns from
examples in which few ways shapes vary, and turns an unlikely shape into the nearest likely one. It never
looks at a pixel.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.landmarks import PointDistribution

data = hybridkp.make_faces(260, random_state=2)
faces = make_crops(data, size_hw=(96, 96))
train, test = faces.xy[:200], faces.xy[200:]
model = PointDistribution(variance=0.95).fit(train)
print(f"{train.shape[1]} points, {2 * train.shape[1]} numbers; {len(model.sigma_)} modes hold 95 % of it all")

# %%
# The ways in which faces vary
# ----------------------------
# Each panel moves along one mode, from two standard deviations below the mean to two above.


def draw(ax, shape, **style):
    for i, j in data.skeleton:
        ax.plot(*shape[[i, j]].T, lw=1, **style)
    ax.plot(*shape.T, ".", ms=4, **style)


_, axes = plt.subplots(1, 4, figsize=(10, 3))
for mode, ax in enumerate(axes):
    for amount, color in ((-2, "tab:blue"), (2, "tab:orange"), (0, "black")):
        moved = model.mean_ + amount * model.sigma_[mode] * model.components_[mode].reshape(-1, 2)
        draw(ax, moved, color=color)
    ax.set_title(f"mode {mode + 1}: {model.sigma_[mode]:.1f} px", fontsize=10)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_axis_off()
plt.tight_layout()

# %%
# The first modes are the turning head; then come mouth and brows. Place, size and angle are no modes:
# shapes were laid onto each other before.
#
# A lost point
# ------------
# In each test face one point is thrown 25 pixels away. The model is asked for the nearest likely shape.

rng = np.random.default_rng(0)
lost = rng.integers(test.shape[1], size=len(test))
angle = rng.uniform(0, 2 * np.pi, len(test))
seen = test.copy()
rows = np.arange(len(test))
seen[rows, lost] += 25 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def error(shapes):
    """Mean error of the lost points, and of the others, px."""
    off = np.linalg.norm(shapes - test, axis=-1)
    others = (off.sum(1) - off[rows, lost]) / (off.shape[1] - 1)
    return off[rows, lost].mean(), others.mean()


plain = model.project(seen)
weights = np.ones(test.shape[:2])
weights[rows, lost] = 0
told = model.project(seen, weights)
for name, shapes in (("as found", seen), ("likely shape", plain), ("told whom to doubt", told)):
    print(f"{name:20s} the lost point {error(shapes)[0]:5.1f} px off, the others {error(shapes)[1]:.1f} px")

b = 7
_, axes = plt.subplots(1, 3, figsize=(10, 3.4))
for ax, shape, title in zip(
    axes, (seen[b], plain[b], told[b]), ("what was found", "likely shape", "told whom to doubt"), strict=True
):
    ax.imshow(faces.images[200 + b][..., ::-1])
    draw(ax, test[b], color="cyan")
    draw(ax, shape, color="gold")
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Told whom to doubt, the model puts the point back. Not told, it spreads the error over all. So detectors
# that use a shape model also need to know how sure they are of each point; all of this library's give a
# score.
#
# Exercise
# --------
# A stiff model forbids too much, a soft one too little. How many modes serve best when *every* point is off
# by some noise?

# %%
# A solution
# ----------
# With few modes real faces are bent towards the mean; with many the noise itself looks likely.

noisy = test + np.random.default_rng(1).normal(0, 2, test.shape)
most = len(PointDistribution(variance=0.999).fit(train).sigma_)
modes = np.unique(np.geomspace(1, most, 10).round().astype(int))
off = []
for n in modes:
    shapes = PointDistribution(variance=1.0, max_components=int(n)).fit(train).project(noisy)
    off.append(np.linalg.norm(shapes - test, axis=-1).mean())
plt.figure(figsize=(6, 3))
plt.plot(modes, off, "o-", label="after the model")
plt.axhline(np.linalg.norm(noisy - test, axis=-1).mean(), color="gray", ls="--", label="as it was")
plt.xlabel("modes")
plt.ylabel("mean error, px")
plt.legend()
plt.tight_layout()
print(f"best: {modes[int(np.argmin(off))]} modes of {most}")
