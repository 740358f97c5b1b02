"""
Patch experts: a support vector machine against a forest
========================================================

**Question.** A classifier learns what the corner of an eye looks like. Which kind should it be, and how
many faces does it need?

A patch expert is a classifier with one job: is this small window centred on *my* landmark, or not? Slid
over a region, it gives a response map. A linear support vector machine weighs the features; a forest asks
yes-and-no questions.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.svm import LinearSVC

import hybridkp
from hybridkp.descriptors import HOG
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_heatmap, draw_landmarks, gaussian_pyramid
from hybridkp.structures import Keypoints

LANDMARK, RADIUS = "right_eye_outer", 12
data = hybridkp.make_faces(260, random_state=1)
k = data.landmarks.index(LANDMARK)
faces = make_crops(data, size_hw=(96, 96))
pyramids = [gaussian_pyramid(image, 1) for image in faces.images]
hog = HOG(cells=4, cell_px=4)

# %%
# What an expert learns from
# --------------------------
# From each face one window at the landmark, and four windows somewhere near it. Near, because far away
# everything is easy to tell from an eye.

rng = np.random.default_rng(0)


def examples(which):
    """HOG rows of right and wrong places, and which they are."""
    rows, right = [], []
    for b in which:
        away = rng.uniform(-RADIUS, RADIUS, (40, 2))
        away = away[np.hypot(*away.T) > 3][:4]
        places = faces.xy[b, k] + np.concatenate([np.zeros((1, 2)), away])
        rows.append(hog.describe(pyramids[b], Keypoints(places)))
        right.append(np.arange(len(places)) == 0)
    return np.concatenate(rows), np.concatenate(right)


def response(expert, b, centre):
    """The expert's score at every pixel of a window, as a square map."""
    axis = np.arange(-RADIUS, RADIUS + 1)
    places = centre + np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    rows = hog.describe(pyramids[b], Keypoints(places))
    score = (
        expert.decision_function(rows)
        if hasattr(expert, "decision_function")
        else expert.predict_proba(rows)[:, 1]
    )
    return score.reshape(len(axis), -1), places


# %%
# Two experts, one face
# ---------------------
# The window is put near the landmark, a few pixels off, as a real search would.

makers = {
    "linear SVM": lambda: LinearSVC(C=0.1, dual=False),
    "forest": lambda: ExtraTreesClassifier(40, max_depth=12, random_state=0),
}
rows, right = examples(range(200))
experts = {name: make().fit(rows, right) for name, make in makers.items()}
show = 211
start = faces.xy[show, k] + [4, -3]
_, axes = plt.subplots(1, 3, figsize=(10, 3.6))
axes[0].imshow(draw_landmarks(faces.images[show], faces.xy[show, k : k + 1])[..., ::-1])
axes[0].set_title("the face and its landmark", fontsize=10)
for ax, (name, expert) in zip(axes[1:], experts.items(), strict=True):
    scores, places = response(expert, show, start)
    whole = np.zeros((96, 96), np.float32)
    x, y = np.rint(places).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < 96) & (y < 96)
    whole[y[inside], x[inside]] = (
        np.exp(scores - scores.max()).ravel()[inside] if name != "forest" else scores.ravel()[inside]
    )
    ax.imshow(draw_heatmap(faces.images[show], whole)[..., ::-1])
    ax.set_title(name, fontsize=10)
for ax in axes:
    ax.set_axis_off()
plt.tight_layout()

# %%
# How many faces?
# ---------------
# The best place of the map, against the truth, on sixty faces that no expert has seen.


def errors(expert):
    off = []
    for b in range(200, 260):
        centre = np.rint(faces.xy[b, k] + shifts[b - 200])
        scores, places = response(expert, b, centre)
        off.append(np.hypot(*(places[scores.argmax()] - faces.xy[b, k])))
    return np.array(off)


shifts = np.random.default_rng(5).uniform(-8, 8, (60, 2))
sizes = (10, 30, 100, 200)
middle = {name: [] for name in makers}
for size in sizes:
    rows, right = examples(range(size))
    for name, make in makers.items():
        middle[name].append(errors(make().fit(rows, right)))
plt.figure(figsize=(6, 3.2))
for name, found in middle.items():
    plt.plot(sizes, [np.mean(f) for f in found], "o-", label=f"{name}, mean")
    plt.plot(
        sizes,
        [np.median(f) for f in found],
        "o--",
        color=plt.gca().lines[-1].get_color(),
        label=f"{name}, median",
    )
plt.xscale("log")
plt.xticks(sizes, [str(s) for s in sizes])
plt.xlabel("faces to learn from")
plt.ylabel("error of the best place, px")
plt.legend(fontsize=8)
plt.tight_layout()
for name, found in middle.items():
    print(f"{name:10s} median {np.median(found[-1]):.2f} px, {np.mean(found[-1] > 5):.0%} off by > 5 px")

# %%
# The mean is far above the median: most answers are near, some are lost altogether. A single expert cannot
# know better, because other places look like a corner of an eye too. The next lesson puts the landmarks
# together.
#
# Exercise
# --------
# Do two experts know more than one? Add the two maps, each scaled by its own spread, and compare.

# %%
# A solution
# ----------
# A sum of two is better than the worse of them. Whether it beats the better one depends on how differently
# they err: these two read the same features, so they often err together. Lesson 10 comes back to this.


def added(b):
    centre = np.rint(faces.xy[b, k] + shifts[b - 200])
    maps = [response(expert, b, centre)[0] for expert in experts.values()]
    total = sum((m - m.mean()) / m.std() for m in maps)
    return np.hypot(*(response(experts["forest"], b, centre)[1][total.argmax()] - faces.xy[b, k]))


together = np.array([added(b) for b in range(200, 260)])
for name, expert in experts.items():
    off = errors(expert)
    print(f"{name:10s} mean {off.mean():.2f} px, median {np.median(off):.2f} px")
print(f"{'together':10s} mean {together.mean():.2f} px, median {np.median(together):.2f} px")
