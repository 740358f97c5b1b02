"""
Which pixels decided?
=====================

**Question.** A detector has put a point somewhere. Which part of the picture made it do so, and can the map
that says so be believed?

Maps that explain are easily drawn and easily wrong. So each is put to a test: hide what the map calls
important, and see whether the point moves more than when something else is hidden.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.explain import deletion_test, explain, occlusion
from hybridkp.imaging import draw_heatmap, draw_landmarks, resize_points

data = hybridkp.make_faces(161, random_state=8)
faces = make_crops(data, size_hw=(64, 64))
image, k = faces.images[160], data.landmarks.index("left_eye_inner")
models = {}
for name, expression in (
    ("regression of the whole crop", "hog+ridge"),
    ("cascade", "sdm"),
    ("network", "direct[input_px=32,max_epochs=8,epoch_pictures=300]"),
):
    model = hybridkp.make_method(expression)
    models[name] = model.fit(faces.images[:160], faces.xy[:160], groups=faces.groups[:160], flip=faces.flip)

# %%
# Hide and ask again
# ------------------
# A window is blurred, the detector is asked again, and how far the point moved is written down; then the
# next window. Two windows may push the point to opposite sides; hidden together they would do nothing. So
# the map counts pushes in one direction, the one on which the strongest agree best.

large = np.repeat(np.repeat(image, 6, 0), 6, 1)
maps = {name: occlusion(model, image) for name, model in models.items()}
_, axes = plt.subplots(1, 3, figsize=(10, 4))
for ax, (name, hidden) in zip(axes, maps.items(), strict=True):
    point = models[name].predict(image[None])[0, k : k + 1]
    ax.imshow(draw_landmarks(draw_heatmap(large, hidden[k]), resize_points(point, 6))[..., ::-1])
    ax.set_title(f"{name}:\nup to {hidden[k].max():.1f} px", fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# The test
# --------
# For every landmark: the tenth of the cells that its map calls most important is hidden, then tenths drawn
# at random. A map is worth something when the first hurts much more. The dashed line is three times as
# much.

plt.figure(figsize=(6, 4))
for name, model in models.items():
    test = deletion_test(model, image, maps[name])
    plt.plot(
        test.chance, test.important, "o", label=f"{name}: {np.median(test.ratio):.1f} times in the middle"
    )
top = plt.xlim()[1]
plt.plot([0, top], [0, 3 * top], color="gray", ls="--")
plt.plot([0, top], [0, top], color="gray", lw=1)
plt.xlabel("moved when a random tenth is hidden, px")
plt.ylabel("moved when the important tenth is hidden, px")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# Three rules, three maps
# -----------------------
# Networks can also be asked by calculus: how far would the point move if a pixel changed a little? That is
# quick, one pass back instead of 256 forth. For linear models the parts are exact: each cell adds so much.
# Each gets its own test.

for name, model in models.items():
    for found in explain(model, image, k, data.landmarks).evidence:
        print(f"{name:30s} {found.name:20s} {found.deletion.ratio[0]:5.1f} times chance")

# %%
# ``hybridkp explain MODEL PICTURE -o page.html`` puts all this on one page, for any model of the library.
#
# Exercise
# --------
# A map can be *right about the model* while the model is wrong about the face. What does the network do
# when the eye itself is covered?

# %%
# A solution
# ----------
# All answer nevertheless, from what is around: that is what they have learned, and what makes them robust.
# The score should warn; compare the scores. The regression's is the same for every picture, so it cannot.

covered = image.copy()
x, y = np.rint(faces.xy[160, k]).astype(int)
covered[max(0, y - 6) : y + 7, max(0, x - 9) : x + 10] = 128
for name, model in models.items():
    before, sure = model.predict_with_score(image[None])
    after, less = model.predict_with_score(covered[None])
    moved = np.hypot(*(after[0, k] - before[0, k]))
    print(f"{name:30s} moved by {moved:.1f} px; score {sure[0, k]:.0%} before, {less[0, k]:.0%} after")
