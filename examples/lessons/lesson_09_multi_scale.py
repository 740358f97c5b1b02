"""
Several scales at once
======================

**Question.** A fine window is exact but short-sighted. A coarse one sees far but roughly. Why choose?

An expert that starts near its landmark needs details. One that starts far away needs to see more of the
face, and can do without them. Putting several levels of the pyramid side by side gives both.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.descriptors import HOG, MultiLevel
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_cells, gaussian_pyramid
from hybridkp.structures import Keypoints

data = hybridkp.make_faces(220, random_state=6)
k = data.landmarks.index("left_mouth")
faces = make_crops(data, size_hw=(128, 128))
pyramids = [gaussian_pyramid(image, 3) for image in faces.images]
windows = {
    "fine (level 0)": HOG(cells=4, cell_px=4, level=0),
    "middle (level 1)": HOG(cells=4, cell_px=4, level=1),
    "coarse (level 2)": HOG(cells=4, cell_px=4, level=2),
}

# %%
# What each level sees
# --------------------
# The same 16 cells, on three levels: each window is twice as wide as the one before.

_, axes = plt.subplots(1, 3, figsize=(10, 3.6))
large = np.repeat(np.repeat(faces.images[2], 3, 0), 3, 1)
for ax, (name, hog) in zip(axes, windows.items(), strict=True):
    places, side = hog.feature_places()
    rows = np.tile(hog.describe(pyramids[2], Keypoints(faces.xy[2, k : k + 1]))[0].reshape(16, 9), (1, 2))
    middle = 3 * faces.xy[2, k] + 1
    ax.imshow(
        draw_cells(large, middle, 3 * places[::9], 3 * side, rows, 20.0 * np.arange(18) + 100)[..., ::-1]
    )
    ax.set_title(f"{name}: {4 * side:.0f} px wide", fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Near and far
# ------------
# A point is put near the corner of the mouth, off by up to so many pixels. A linear regression from the HOG
# row there says where the corner is. It is trained and tested for each distance anew.

train, test = range(160), range(160, 220)


def rows_and_steps(descriptor, which, far, copies, seed):
    """HOG rows at disturbed points, and the way from there to the landmark."""
    rng = np.random.default_rng(seed)
    rows, steps = [], []
    for b in which:
        away = rng.uniform(-far, far, (copies, 2))
        rows.append(descriptor.describe(pyramids[b], Keypoints(faces.xy[b, k] + away)))
        steps.append(-away)
    return np.concatenate(rows), np.concatenate(steps)


def error(descriptor, far):
    """Mean distance from the landmark after one step, px."""
    rows, steps = rows_and_steps(descriptor, train, far, 8, seed=0)
    middle, centre = rows.mean(0), steps.mean(0)
    gram = (rows - middle).T @ (rows - middle)
    weights = np.linalg.solve(gram + 2.0 * np.eye(len(gram)), (rows - middle).T @ (steps - centre))
    rows, steps = rows_and_steps(descriptor, test, far, 4, seed=1)
    return np.linalg.norm((rows - middle) @ weights + centre - steps, axis=1).mean()


all_levels = MultiLevel(HOG(cells=4, cell_px=4), levels=(0, 1, 2))
distances = (3, 6, 12, 24)
found = {
    name: [error(d, far) for far in distances] for name, d in {**windows, "all three": all_levels}.items()
}
plt.figure(figsize=(6, 3.4))
for name, values in found.items():
    plt.plot(distances, values, "o-", lw=3 if name == "all three" else 1.2, label=name)
plt.plot(distances, [0.765 * far for far in distances], color="gray", ls="--", label="not moved at all")
plt.xscale("log")
plt.yscale("log")
plt.xticks(distances, [str(d) for d in distances])
plt.yticks((0.5, 1, 2, 4, 8, 16), ("0.5", "1", "2", "4", "8", "16"))
plt.minorticks_off()
plt.xlabel("off by up to, px")
plt.ylabel("error after one step, px")
plt.legend(fontsize=8)
plt.tight_layout()
best = {far: min(windows, key=lambda name: found[name][i]) for i, far in enumerate(distances)}
for i, far in enumerate(distances):
    print(f"off by up to {far:2d} px: {best[far]} {found[best[far]][i]:.2f}, all {found['all three'][i]:.2f}")

# %%
# (0.765 is the mean distance of a random point of a square, of side 2, from its middle.) Which single level
# is best depends on the distance. All three together need no choice.
#
# Exercise
# --------
# Cascades use scales one after the other. Do two steps, coarse then fine, do better than one step with all
# levels?

# %%
# A solution
# ----------
# The second step starts where the first one ended, so it is trained for the distances that are left.


def two_steps(far, left):
    """A coarse step, then a fine one that was trained for points off by up to ``left``."""
    models = []
    for descriptor, reach in ((windows["coarse (level 2)"], far), (windows["fine (level 0)"], left)):
        rows, steps = rows_and_steps(descriptor, train, reach, 8, seed=0)
        middle, centre = rows.mean(0), steps.mean(0)
        gram = (rows - middle).T @ (rows - middle) + 2.0 * np.eye(rows.shape[1])
        models.append(
            (descriptor, middle, centre, np.linalg.solve(gram, (rows - middle).T @ (steps - centre)))
        )
    rng, off = np.random.default_rng(1), []
    for b in test:
        points = faces.xy[b, k] + rng.uniform(-far, far, (4, 2))
        for descriptor, middle, centre, weights in models:
            points = (
                points + (descriptor.describe(pyramids[b], Keypoints(points)) - middle) @ weights + centre
            )
        off.append(np.linalg.norm(points - faces.xy[b, k], axis=1))
    return np.mean(off)


i = distances.index(12)
print(f"off by up to 12 px: all levels {found['all three'][i]:.2f} px, then fine {two_steps(12, 6):.2f} px")
