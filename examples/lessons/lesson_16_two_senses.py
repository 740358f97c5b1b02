"""
Two senses: depth beside the picture
====================================

**Question.** A depth camera stands beside the colour camera. How do two senses become one answer, and what if
one of them fails?

There are two places to join them. *Early*: rows of numbers side by side, and one model learns from both.
*Late*: a model for each sense, and a vote. Neither notices by itself that somebody has switched off the
light.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.multimodal import Planes, broken, signs

data = hybridkp.make_faces(140, (96, 96), random_state=11, noise=1.5)
faces = make_crops(data, size_hw=(64, 64), modalities=("image", "depth"))
train, test = np.arange(0, 100), np.arange(100, 140)
batch, xy, groups = faces.batch, faces.xy, faces.groups
judged = batch[test]

# %%
# What each sense sees
# --------------------
# The picture; depth, where nearer is brighter; and from depth how far a surface faces up, and how far it
# faces the viewer. In the dark (below, a sixteenth of the light) the picture is noise, and depth is as it
# was.

planes = Planes(("image", "depth", "normals")).fit(batch[train])
titles = ["picture", "depth", "faces up", "faces the viewer"]
dark = broken(judged, "image", "dark")
_, axes = plt.subplots(2, 4, figsize=(8, 4.4))
for row, shown in zip(axes, (judged, dark), strict=True):
    for ax, plane, title in zip(row, np.moveaxis(planes.planes(shown[:1])[0], -1, 0), titles, strict=True):
        ax.imshow(plane, cmap="gray", vmin=0, vmax=255)
        ax.set_title(title if shown is judged else f"{title}, in the dark", fontsize=8)
        ax.set_axis_off()
plt.tight_layout()

# %%
# Alone, early, late
# ------------------
# The same ridge regression on HOG rows sees one sense or both. ``vote`` weighs the members' points by the
# errors that they make on faces which they have not learned from. ``gate`` does so too; besides, it was
# drilled: in training each sense was broken on purpose, and a forest learned which members to believe
# then.

image, depth = "hog+ridge", "hog+ridge[inputs=depth:normals]"
both = "hog+ridge[inputs=image:depth:normals]"
methods = {
    "picture": image,
    "depth": depth,
    "early": both,
    "late, a vote": f"vote[guard=false]({image},{depth})",
    "late, a gate": f"gate({image},{depth},{both})",
}
models = {
    name: hybridkp.make_method(text).fit(batch[train], xy[train], groups=groups[train])
    for name, text in methods.items()
}
conditions = {
    "as usual": judged,
    "in the dark": dark,
    "depth is noise": broken(judged, "depth", "noise", 1),
    "depth is missing": broken(judged, "depth", "zeros"),
}
eyes = [data.landmarks.index(name) for name in ("right_eye_outer", "left_eye_outer")]
apart = np.linalg.norm(xy[test][:, eyes[0]] - xy[test][:, eyes[1]], axis=-1)


def error(model, shown):
    """Mean error in % of the distance between the eyes."""
    return 100 * (np.linalg.norm(model.predict(shown) - xy[test], axis=-1).mean(1) / apart).mean()


table = np.array([[error(model, shown) for shown in conditions.values()] for model in models.values()])
plt.figure(figsize=(8, 3.2))
for i, (name, row) in enumerate(zip(models, table, strict=True)):
    plt.bar(np.arange(len(row)) + (i - 2) * 0.16, row, 0.15, label=name)
plt.xticks(range(len(conditions)), list(conditions))
plt.ylabel("error, % of the eyes' distance")
plt.ylim(0, 20)
plt.legend(fontsize=8, ncols=5, loc="upper center")
plt.tight_layout()

# %%
# With both senses working, the gate and the rows side by side know a little more than the picture; these few
# faces teach no more. When one sense fails, rows side by side and a plain vote are drawn into the failure:
# they are worse than the sense that still works, alone. The gate is near the better one in every case.
#
# How can one notice?
# -------------------
# Simple numbers tell a sense that works from one that does not: how bright it is, how much it varies, and
# how rough it is. Noise changes from pixel to pixel as much as it changes at all.

_, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for ax, sense, ways in zip(axes, ("image", "depth"), (("dark", "noise"), ("zeros", "noise")), strict=True):
    for way, shown in {"works": judged, **{w: broken(judged, sense, w, 1) for w in ways}}.items():
        mean, _, rough, _ = signs(shown, (sense,)).T
        ax.plot(mean, rough, ".", label=way)
    ax.set_xlabel(f"mean of the {sense}")
    ax.set_ylabel("roughness")
    ax.legend(fontsize=8)
plt.tight_layout()

# %%
# One failure cannot be noticed by anybody: the picture of one face with the depth of another. That the
# two do not belong together shows, but not which of them is the right one. The gate believes the picture,
# because that is where points are labelled.
#
# Exercise
# --------
# Did depth really help, or did more numbers? Teach the early method with the depth of *other* faces, and
# compare.

# %%
# A solution
# ----------
# With another face's depth in training nothing can be learned from it. What depth had brought is gone;
# what is left beside the picture is noise.

mixed = broken(batch[train], "depth", "shuffled")
shuffled = hybridkp.make_method(both).fit(mixed, xy[train], groups=groups[train])
print(f"picture alone {table[0, 0]:.2f} %, with depth {table[2, 0]:.2f} %")
print(f"taught with other faces' depth {error(shuffled, judged):.2f} %")
