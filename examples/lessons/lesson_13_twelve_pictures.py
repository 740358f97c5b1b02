"""
Classical against deep in twelve pictures
=========================================

**Question.** Which pictures are hard for a cascade of regressions, and which for a network?

Both have learned from the same 200 faces. The first picture is as they know them; the others were changed
in one way each. Forty faces are changed alike, and the pair of errors on each face says who wins. It is a
look at *how* each of them fails; for a verdict on your pictures, measure on your pictures.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import apply_affine, draw_landmarks, resize_points, rotation_about, warp
from hybridkp.stats import paired_difference

faces = make_crops(hybridkp.make_faces(200, random_state=9), size_hw=(64, 64))
models = {
    "cascade": hybridkp.make_method("sdm"),
    "network": hybridkp.make_method("direct[input_px=32,max_epochs=10,epoch_pictures=400]"),
}
for model in models.values():
    model.fit(faces.images, faces.xy, groups=faces.groups, flip=faces.flip)
easy = make_crops(
    hybridkp.make_faces(40, random_state=10, pose=0.5, occlusion=0, noise=0, blur=0), size_hw=(64, 64)
)
many, where = easy.images, easy.xy

# %%
# Twelve changes
# --------------
# Each takes crops and points and gives both back.

rng = np.random.default_rng(0)
middle = (31.5, 31.5)


def moved(matrix):
    return lambda image, xy: (warp(image, matrix, (64, 64)), apply_affine(matrix, xy))


def only(change):
    """A change that leaves the points where they are."""
    return lambda image, xy: (np.clip(change(image.astype(float)), 0, 255).astype(np.uint8), xy)


def covered(image):
    out = image.copy()
    out[34:50, 20:44] = (60, 90, 160)
    return out


zoomed = np.array([[1.3, 0, -0.3 * 31.5], [0, 1.3, -0.3 * 31.5]])
shade = np.linspace(0.1, 1.1, 64)[None, :, None]
changes = {
    "as they know them": (lambda image, xy: (image, xy), "nothing was changed"),
    "dark": (only(lambda x: 0.25 * x), "edges are weaker, their directions stay"),
    "a shadow": (only(lambda x: x * shade), "edges are weak on one side, strong on the other"),
    "little contrast": (only(lambda x: 100 + 0.1 * x), "edges are ten times weaker, and rounded"),
    "a negative": (only(lambda x: 255 - x), "every edge points the other way"),
    "noise": (only(lambda x: x + 60 * rng.normal(size=x.shape)), "false edges, all of them small"),
    "blur": (only(lambda x: cv2.GaussianBlur(x, (0, 0), 4)), "fine edges are gone, large shapes stay"),
    "coarse pixels": (
        only(lambda x: cv2.resize(cv2.resize(x, (16, 16), interpolation=3), (64, 64), interpolation=0)),
        "edges of blocks beside those of the face",
    ),
    "mouth and nose covered": (only(covered), "some points must be told from the others"),
    "turned by 20 degrees": (moved(rotation_about(middle, 20.0)), "a shape that no training face has"),
    "a box too small": (moved(zoomed), "the start is wrong, and the border of the face is outside"),
    "a box too far left": (moved(np.array([[1, 0, 9.0], [0, 1, 0]])), "the start is wrong by 9 px"),
}

# %%
# Yellow: the cascade. Orange: the network. Cyan: the truth. Above each picture the mean error of both over
# forty faces that were changed in the same way.

_, axes = plt.subplots(3, 4, figsize=(10.5, 9))
errors = {}
for ax, (title, (change, _)) in zip(axes.ravel(), changes.items(), strict=True):
    pairs = [change(image, xy) for image, xy in zip(many, where, strict=True)]
    images, truth = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
    found = {name: model.predict(images) for name, model in models.items()}
    errors[title] = {n: np.linalg.norm(xy - truth, axis=-1).mean(1) for n, xy in found.items()}
    large = cv2.resize(images[4], (320, 320), interpolation=cv2.INTER_NEAREST)
    drawn = draw_landmarks(large, resize_points(truth[4], 5), color=(255, 214, 0), radius=4)
    drawn = draw_landmarks(drawn, resize_points(found["network"][4], 5), color=(0, 115, 255), radius=4)
    drawn = draw_landmarks(drawn, resize_points(found["cascade"][4], 5), radius=4)
    ax.imshow(drawn[..., ::-1])
    cascade, network = (errors[title][name].mean() for name in models)
    ax.set_title(f"{title}\ncascade {cascade:.1f} px, network {network:.1f} px", fontsize=9)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Who wins where
# --------------
# A bar to the left: the cascade errs less; to the right: the network does. The line through its end is the
# 95 % interval of the paired difference; where it holds 0, forty faces do not tell.

gaps = {title: paired_difference(both["cascade"], both["network"]) for title, both in errors.items()}
colors = [
    "tab:gray" if g.low <= 0 <= g.high else "gold" if g.high < 0 else "tab:orange" for g in gaps.values()
]
middle_px = np.array([g.difference for g in gaps.values()])
reach = np.array([[g.difference - g.low, g.high - g.difference] for g in gaps.values()]).T
plt.figure(figsize=(8, 4.2))
plt.barh(list(gaps), middle_px, xerr=reach, color=colors, ecolor="black", capsize=3)
plt.axvline(0, color="black", lw=0.8)
plt.gca().invert_yaxis()
plt.xlabel("error of the cascade - error of the network, px")
plt.tight_layout()

first = {name: values.mean() for name, values in errors["as they know them"].items()}
print("                         error, times that of the first picture")
print("                         cascade   network   wins      what the change does")
for title, (_, why) in changes.items():
    gap, both = gaps[title], errors[title]
    wins = "neither" if gap.low <= 0 <= gap.high else "cascade" if gap.high < 0 else "network"
    times = "".join(f"{both[name].mean() / first[name]:8.1f}  " for name in models)
    print(f"{title:22s} {times}  {wins:8s}  {why}")

# %%
# The network is coarser and steadier: it looks at a small picture whose grey values are standardised, so
# that darkness, noise and blur change little for it. The cascade looks at fine edges around its own points:
# it is nearer, and it loses more in proportion where those edges lie, or where its start is wrong. A box that
# is wrong costs the network most, since it knows only crops as they were. What else do you see?
#
# Exercise
# --------
# Would a vote of the two be better on all twelve?

# %%
# A solution
# ----------
# A plain mean of the points. It rarely wins, since one of the two is usually much better, and it never
# loses badly.

better = []
for title, (change, _) in changes.items():
    pairs = [change(image, xy) for image, xy in zip(many, where, strict=True)]
    images, truth = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
    mean = np.mean([model.predict(images) for model in models.values()], axis=0)
    off = np.linalg.norm(mean - truth, axis=-1).mean()
    alone = [values.mean() for values in errors[title].values()]
    better.append((off < min(alone), off < max(alone)))
both, one = np.sum(better, axis=0)
print(f"the mean beats both on {both} of 12, and the worse of the two on {one}")
