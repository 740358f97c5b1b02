"""
Classical against deep in twelve pictures
=========================================

**Question.** Which pictures are hard for a cascade of regressions, and which for a network?

Both have learned from the same 200 faces. The first picture is as they know them; the others were changed
in one way each. Nothing here is a verdict, which needs many pictures and tests; it is a look at *how* each
of them fails.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import apply_affine, draw_landmarks, resize_points, rotation_about, warp

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
    "as they know them": lambda image, xy: (image, xy),
    "dark": only(lambda x: 0.25 * x),
    "a shadow": only(lambda x: x * shade),
    "little contrast": only(lambda x: 100 + 0.2 * x),
    "a negative": only(lambda x: 255 - x),
    "noise": only(lambda x: x + 35 * rng.normal(size=x.shape)),
    "blur": only(lambda x: cv2.GaussianBlur(x, (0, 0), 2.5)),
    "coarse pixels": only(
        lambda x: cv2.resize(cv2.resize(x, (16, 16), interpolation=3), (64, 64), interpolation=0)
    ),
    "mouth and nose covered": only(covered),
    "turned by 20 degrees": moved(rotation_about(middle, 20.0)),
    "a box too small": moved(zoomed),
    "a box too far left": moved(np.array([[1, 0, 9.0], [0, 1, 0]])),
}

# %%
# Yellow: the cascade. Orange: the network. Cyan: the truth. Below each picture the mean error of both over
# forty faces that were changed in the same way.

_, axes = plt.subplots(3, 4, figsize=(10.5, 9))
table = {}
for ax, (title, change) in zip(axes.ravel(), changes.items(), strict=True):
    pairs = [change(image, xy) for image, xy in zip(many, where, strict=True)]
    images, truth = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
    found = {name: model.predict(images) for name, model in models.items()}
    table[title] = {n: np.linalg.norm(xy - truth, axis=-1).mean() for n, xy in found.items()}
    large = cv2.resize(images[4], (320, 320), interpolation=cv2.INTER_NEAREST)
    drawn = draw_landmarks(large, resize_points(truth[4], 5), color=(255, 214, 0), radius=4)
    drawn = draw_landmarks(drawn, resize_points(found["network"][4], 5), color=(0, 115, 255), radius=4)
    drawn = draw_landmarks(drawn, resize_points(found["cascade"][4], 5), radius=4)
    ax.imshow(drawn[..., ::-1])
    both = table[title]
    ax.set_title(f"{title}\ncascade {both['cascade']:.1f} px, network {both['network']:.1f} px", fontsize=9)
    ax.set_axis_off()
plt.tight_layout()

# %%
# In numbers, and how many times as large as on the first picture:

first = table["as they know them"]
for title, both in table.items():
    words = ", ".join(
        f"{name} {value:4.1f} px ({value / first[name]:.1f} times)" for name, value in both.items()
    )
    print(f"{title:24s} {words}")

# %%
# The network is coarser and steadier: it looks at a small picture whose grey values are standardised, so
# that darkness, noise and blur change little for it. The cascade is nearer, and loses more in proportion. A
# box that is wrong costs the network most. What else do you see?
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
for title, change in changes.items():
    pairs = [change(image, xy) for image, xy in zip(many, where, strict=True)]
    images, truth = np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
    mean = np.mean([model.predict(images) for model in models.values()], axis=0)
    off = np.linalg.norm(mean - truth, axis=-1).mean()
    better.append((off < min(table[title].values()), off < max(table[title].values())))
both, one = np.sum(better, axis=0)
print(f"the mean beats both on {both} of 12, and the worse of the two on {one}")
