"""
Two are better than one, sometimes: hybrids and honest statistics
=================================================================

**Question.** A classical detector and a network have both learned the same faces. Is there something to
gain from asking both, and how would one know?

Three ways to combine: put their *features* side by side, let their *points* vote, or let a regression on
top learn whom to believe, which is called stacking. The second half of this lesson is about not fooling
oneself.
"""

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp import memory, stats
from hybridkp.descriptors import HOG, SIFT, Concat
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_landmarks, gaussian_pyramid, resize_points
from hybridkp.structures import Keypoints

data = hybridkp.make_faces(240, random_state=7)
faces = make_crops(data, size_hw=(64, 64))
train, test = np.arange(0, 160), np.arange(160, 240)
images, xy, groups = faces.images, faces.xy, faces.groups

# %%
# Features side by side
# ---------------------
# HOG and SIFT rows at the points of the mean shape, each alone and both in one long row; a linear
# regression from there.

places = Keypoints(xy[train].mean(0))
parts = {"HOG": HOG(cells=4, cell_px=6), "SIFT": SIFT(size_px=4)}
parts["both"] = Concat([("hog", parts["HOG"]), ("sift", parts["SIFT"])])
for name, descriptor in parts.items():
    rows = np.stack([descriptor.describe(gaussian_pyramid(image, 1), places).ravel() for image in images])
    middle, centre = rows[train].mean(0), xy[train].reshape(len(train), -1).mean(0)
    gram = (rows[train] - middle) @ (rows[train] - middle).T
    scale = np.trace(gram) / len(gram)
    step = np.linalg.solve(gram + 0.1 * scale * np.eye(len(gram)), xy[train].reshape(len(train), -1) - centre)
    points = ((rows[test] - middle) @ (rows[train] - middle).T @ step + centre).reshape(xy[test].shape)
    print(f"{name:5s} {np.linalg.norm(points - xy[test], axis=-1).mean():.2f} px off")

# %%
# Both read gradients in cells, so they know much the same: the second adds only a little to the first. A
# combination lives from members that err *differently*.
#
# Votes and stacking
# ------------------
# A ridge regression on HOG and a small network that has trained for seconds: unlike each other. The
# combinations learn their weights from faces that the members did not see in training, so each member is
# fitted on parts as well; fits are remembered, and none is done twice. A cascade stands beside them, alone.

net = "direct[input_px=32,max_epochs=8,epoch_pictures=300]"
methods = {
    "regression": "hog+ridge",
    "network": net,
    "average": f"average(hog+ridge,{net})",
    "vote": f"vote(hog+ridge,{net})",
    "stacking": f"stack(hog+ridge,{net})",
    "cascade": "sdm",
}
found = {}
with TemporaryDirectory() as folder, memory.remember(folder):
    for name, expression in methods.items():
        method = hybridkp.make_method(expression)
        model = memory.fitted(method, images[train], xy[train], groups=groups[train], flip=faces.flip)
        found[name] = model.predict(images[test])

eyes = [data.landmarks.index(name) for name in ("right_eye_outer", "left_eye_outer")]
apart = np.linalg.norm(xy[test][:, eyes[0]] - xy[test][:, eyes[1]], axis=-1)
errors = {n: 100 * np.linalg.norm(p - xy[test], axis=-1).mean(1) / apart for n, p in found.items()}

# %%
# One face under all of them. Yellow: found; cyan rings: the truth.

b = int(np.argsort(errors["average"])[len(test) // 2])
large = np.repeat(np.repeat(images[test[b]], 4, 0), 4, 1)
_, axes = plt.subplots(1, len(found), figsize=(12, 2.4))
for ax, (name, points) in zip(axes, found.items(), strict=True):
    drawn = draw_landmarks(large, resize_points(points[b], 4), truth=resize_points(xy[test[b]], 4))
    ax.imshow(drawn[..., ::-1])
    ax.set_title(f"{name}\n{errors[name][b]:.1f} %", fontsize=9)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Is it better, or was it luck?
# -----------------------------
# Errors are in percent of the distance between the eyes: the normalised mean error, NME. Two successive
# faces here are one person. They resemble each other, so 80 faces are only 40 independent ones. An interval
# that forgets this is too short. The one below draws *persons*, again and again, and looks how much the
# mean changes.

rows = [(name, stats.bootstrap_interval(e, groups[test])) for name, e in errors.items()]
careless = {name: stats.bootstrap_interval(e, np.arange(len(test))) for name, e in errors.items()}
plt.figure(figsize=(7, 3))
for i, (name, interval) in enumerate(rows):
    plt.plot(
        [interval.low, interval.high],
        [i, i],
        lw=6,
        color="tab:blue",
        alpha=0.5,
        label="drawing persons" if i == 0 else "",
    )
    plt.plot(
        [careless[name].low, careless[name].high],
        [i, i],
        lw=2,
        color="black",
        label="drawing faces" if i == 0 else "",
    )
    plt.plot(interval.value, i, "o", color="tab:blue")
plt.yticks(range(len(rows)), [name for name, _ in rows])
plt.gca().invert_yaxis()
plt.xlabel("NME, % of the distance between the eyes, with 95 % intervals")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# Intervals that overlap do not mean that two methods are alike: both saw the same faces, and a face that is
# hard for one is hard for the other. So differences are taken *face by face*, and their p-values are
# corrected because there are many pairs (Holm's correction).

names = list(errors)
for pair in stats.compare_all(names, [errors[n][None] for n in names], groups[test]):
    verdict = "differ" if pair.distinguishable else "cannot be told apart"
    print(f"{pair.first:10s} - {pair.second:10s} {pair.difference:+.2f}, p = {pair.p_holm:.3f}: {verdict}")

# %%
# What is there to gain at all? An oracle that always takes the nearer of the two points says how much; how
# alike the members err says how hard it is to get.

off = {name: np.linalg.norm(found[name] - xy[test], axis=-1) for name in ("regression", "network")}
oracle = np.minimum(off["regression"], off["network"]).mean()
for name, values in off.items():
    print(f"{name:10s} {values.mean():.2f} px")
print(f"the nearer of the two, if one knew which: {oracle:.2f} px")
ways = [(found[name] - xy[test]).ravel() for name in off]
print(f"correlation of their errors: {np.corrcoef(*ways)[0, 1]:.2f}")

# %%
# A combination gains most from members that are about equally good and err differently. A much weaker
# member gets little weight or none: it cannot help, and should not hurt. On real faces, with networks that
# were trained to the end, combinations do win: see :doc:`/fusion`. And a single better method may still
# beat the combinations of two weaker ones: always compare with the best that you could have had alone.
#
# How a figure can be gamed
# -------------------------
# PCK counts points that are closer than some threshold. Whoever chooses the threshold chooses the winner,
# or makes everybody win:

thresholds = np.linspace(0.5, 30, 60)
plt.figure(figsize=(7, 3))
for name, points in found.items():
    off = 100 * np.linalg.norm(points - xy[test], axis=-1) / apart[:, None]
    plt.plot(thresholds, [100 * (off < t).mean() for t in thresholds], label=name)
mean_shape = np.broadcast_to(xy[train].mean(0), xy[test].shape)
off = 100 * np.linalg.norm(mean_shape - xy[test], axis=-1) / apart[:, None]
plt.plot(thresholds, [100 * (off < t).mean() for t in thresholds], color="gray", ls="--", label="mean shape")
plt.xlabel("threshold, % of the distance between the eyes")
plt.ylabel("points closer than that, %")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# At a generous threshold even the mean shape, which never looked at the picture, seems useful. Show the
# whole curve, and always show the floor.
#
# Exercise
# --------
# What if the split cuts a pair of faces of one person, so that the person is in training and in test?
# Measure the regression with a random split of faces and with a split of persons.

# %%
# A solution
# ----------
# A person whom the model knows is easier. The difference is what a careless split adds to a result. With
# few persons it may drown in the noise of one split; average over several to see it.


def regression_error(learn, ask):
    model = hybridkp.make_method("hog+ridge").fit(images[learn], xy[learn])
    return np.linalg.norm(model.predict(images[ask]) - xy[ask], axis=-1).mean()


rng, known, unknown = np.random.default_rng(0), [], []
for _ in range(4):
    order = rng.permutation(240)
    known.append(regression_error(order[:180], order[180:]))
    persons = np.unique(groups)
    mine = np.isin(groups, rng.permutation(persons)[: 3 * len(persons) // 4])
    unknown.append(regression_error(np.flatnonzero(mine), np.flatnonzero(~mine)))
print(f"faces split: {np.mean(known):.2f} px; persons split: {np.mean(unknown):.2f} px")
