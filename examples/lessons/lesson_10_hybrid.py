"""
Two are better than one, sometimes: hybrids and honest statistics
=================================================================

**Question.** A classical detector and a network have both learned the same faces. Is there something to gain from asking
both, and how would one know?

Three ways to combine: put their *features* side by side, let their *points* vote, or let a regression on top learn whom
to believe, which is called stacking. The second half of this lesson is about not fooling oneself.
"""

import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp import memory, stats
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_landmarks, resize_points
from hybridkp.metrics import nme, normalizer_lengths

data = hybridkp.make_faces(240, random_state=7)
faces = make_crops(data, size_hw=(64, 64))
train, test = np.arange(0, 160), np.arange(160, 240)
images, xy, groups = faces.images, faces.xy, faces.groups

# %%
# Members and combinations
# ------------------------
# A ridge regression on HOG, a cascade, and three ways to join them with a small network. Combinations learn their
# weights from faces that the members did not see in training, so each member is fitted on parts as well; fits are
# remembered, and none is done twice.

net = "direct[input_px=32,max_epochs=10]"
methods = {
    "hog+ridge": "hog+ridge",
    "cascade": "sdm",
    "network": net,
    "average": f"average(sdm,{net})",
    "vote": f"vote(sdm,{net})",
    "stacking": f"stack(sdm,{net})",
}
found = {}
with memory.remember_for_now():
    for name, expression in methods.items():
        model = hybridkp.make_method(expression)
        model.fit(images[train], xy[train], groups=groups[train], flip=faces.flip)
        found[name] = model.predict(images[test])

eyes = normalizer_lengths(xy[test], data.normalizer) if False else np.linalg.norm(
    xy[test][:, data.landmarks.index("right_eye_outer")] - xy[test][:, data.landmarks.index("left_eye_outer")], axis=-1
)
errors = {n: 100 * np.linalg.norm(p - xy[test], axis=-1).mean(1) / eyes for n, p in found.items()}

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
# Errors are in percent of the distance between the eyes: the normalised mean error, NME. Two successive faces here are
# one person. They resemble each other, so 80 faces are only 40 independent ones. An interval that forgets this is
# too short. The one below draws *persons*, again and again, and looks how much the mean changes.

rows = [(name, stats.bootstrap_interval(e, groups[test])) for name, e in errors.items()]
careless = {name: stats.bootstrap_interval(e, np.arange(len(test))) for name, e in errors.items()}
plt.figure(figsize=(7, 3))
for i, (name, interval) in enumerate(rows):
    plt.plot([interval.low, interval.high], [i, i], lw=6, color="tab:blue", alpha=0.5, label="drawing persons" if i == 0 else "")
    plt.plot([careless[name].low, careless[name].high], [i, i], lw=2, color="black", label="drawing faces" if i == 0 else "")
    plt.plot(interval.value, i, "o", color="tab:blue")
plt.yticks(range(len(rows)), [name for name, _ in rows])
plt.gca().invert_yaxis()
plt.xlabel("NME, % of the distance between the eyes, with 95 % intervals")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# Intervals that overlap do not mean that two methods are alike: both saw the same faces, and a face that is hard for one
# is hard for the other. So differences are taken *face by face*, and their p-values are corrected because there
# are many pairs (Holm's correction).

names = list(errors)
for pair in stats.compare_all(names, [errors[n][None] for n in names], groups[test]):
    if "average" in (pair.first, pair.second) or "vote" in (pair.first, pair.second):
        verdict = "differ" if pair.distinguishable else "cannot be told apart"
        print(f"{pair.first:10s} - {pair.second:10s} {pair.difference:+.2f} points, p = {pair.p_holm:.3f}: {verdict}")

# %%
# How a figure can be gamed
# -------------------------
# PCK counts points that are closer than some threshold. Whoever chooses the threshold chooses the winner, or makes
# everybody win:

thresholds = np.linspace(0.5, 30, 60)
plt.figure(figsize=(7, 3))
for name, points in found.items():
    off = 100 * np.linalg.norm(points - xy[test], axis=-1) / eyes[:, None]
    plt.plot(thresholds, [100 * (off < t).mean() for t in thresholds], label=name)
mean_shape = np.broadcast_to(xy[train].mean(0), xy[test].shape)
off = 100 * np.linalg.norm(mean_shape - xy[test], axis=-1) / eyes[:, None]
plt.plot(thresholds, [100 * (off < t).mean() for t in thresholds], color="gray", ls="--", label="mean shape")
plt.xlabel("threshold, % of the distance between the eyes")
plt.ylabel("points closer than that, %")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# At a generous threshold even the mean shape, which never looked at the picture, seems useful. Show the whole curve, and
# always show the floor.
#
# Exercise
# --------
# What if the split cuts a pair of faces of one person, so that the person is in training and in test? Measure the cascade
# with a random split of faces and with a split of persons.

# %%
# A solution
# ----------
# A person whom the model knows is easier. The difference is what a careless split adds to a result. With few persons it
# may drown in the noise of one split; average over several to see it.


def cascade_error(learn, ask):
    model = hybridkp.make_method("hog+ridge").fit(images[learn], xy[learn])
    return np.linalg.norm(model.predict(images[ask]) - xy[ask], axis=-1).mean()


rng, known, unknown = np.random.default_rng(0), [], []
for _ in range(4):
    order = rng.permutation(240)
    known.append(cascade_error(order[:180], order[180:]))
    persons = np.unique(groups)
    mine = np.isin(groups, rng.permutation(persons)[: 3 * len(persons) // 4])
    unknown.append(cascade_error(np.flatnonzero(mine), np.flatnonzero(~mine)))
print(f"faces split: {np.mean(known):.2f} px; persons split: {np.mean(unknown):.2f} px")
