"""
Pixels and scale
================

**Question.** A picture is made smaller. Where does a point go, and what happens to fine stripes?

Detectors look at pictures in several sizes. Two things go wrong when a size is changed carelessly: points
move by half a pixel, and stripes appear that were never there.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

from hybridkp.datasets import bundled_picture
from hybridkp.imaging import gaussian_pyramid, resize_points, to_grey

# %%
# Where a pixel is
# ----------------
# A pixel is a little square, and its number is the place of its centre. So a picture of width W reaches
# from -1/2 to W - 1/2. Resizing keeps the *borders* together, not the centres of the first pixels: x
# becomes (x + 1/2) s - 1/2.
#
# Here is a soft spot at a known place. It is measured again on every level of a pyramid.

truth = np.array([85.3, 60.7])
y, x = np.mgrid[:128, :160]
spot = np.exp(-((x - truth[0]) ** 2 + (y - truth[1]) ** 2) / (2 * 8.0**2)).astype(np.float32)
pyramid = gaussian_pyramid(spot, n_levels=4)

print("scale   measured x   with the halves   without")
for level, scale in zip(pyramid.levels, pyramid.scale, strict=True):
    measured = (level.sum(0) @ np.arange(level.shape[1])) / level.sum()
    print(f"{scale:5.3f} {measured:12.3f} {resize_points(truth, scale)[0]:17.3f} {truth[0] * scale:9.3f}")

# %%
# With the halves the place is right on every level. Without them it is wrong by almost half a pixel on the
# coarsest one, and half a pixel *there* is several pixels of the picture that you started with:

for scale in pyramid.scale[1:]:
    print(f"scale {scale:5.3f}: {(0.5 - 0.5 * scale) / scale:.1f} px of the first picture")

# %%
# Stripes that were never there
# -----------------------------
# Rings that get finer towards the border. To keep every fourth pixel is not enough: a stripe that is finer
# than the new grid comes back as a coarse one. This is aliasing. It is cured by blurring first, by about as
# much as the coarser grid cannot carry.

y, x = np.mgrid[-1:1:512j, -1:1:512j]
rings = (127.5 + 127.5 * np.cos(np.pi * 110 * (x**2 + y**2))).astype(np.uint8)
careless = rings[::4, ::4]
careful = gaussian_pyramid(rings, n_levels=3).levels[2]

_, axes = plt.subplots(1, 3, figsize=(10, 3.6))
for ax, picture, title in zip(
    axes,
    (rings, careless, careful),
    ("the picture", "every fourth pixel", "blurred, then every fourth"),
    strict=True,
):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# How many levels?
# ----------------
# A descriptor looks at a window of fixed size, 24 pixels say. On a coarser level the same window sees more
# of the object, and fewer of its details. The lens below shows what is inside the window on each level.

image = to_grey(bundled_picture("astronaut"))
eye = np.array([207.0, 104.0])
pyramid = gaussian_pyramid(image, n_levels=4)
_, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for ax, level, scale in zip(axes, pyramid.levels, pyramid.scale, strict=True):
    window = cv2.getRectSubPix(level.astype(np.float32), (24, 24), resize_points(eye, scale).tolist())
    ax.imshow(window, cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"24 px = {24 / scale:.0f} px of the picture", fontsize=9)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Fine levels say *exactly where*; coarse ones say *which part of the object*. Methods that search from
# coarse to fine need both.
#
# Exercise
# --------
# A detector works on a level of scale 1/4 and is exact to 0.1 pixel there. How exact is it in the picture,
# and from which scale on does forgetting the halves cost more than that?

# %%
# A solution
# ----------
# An error grows by 1 / s on the way back. Forgetting the halves costs (1/2 - s/2) on the level.

print(f"0.1 px on the level are {0.1 / 0.25:.1f} px of the picture")
scales = np.linspace(1, 0.1, 91)
first = scales[np.argmax(0.5 - 0.5 * scales > 0.1)]
print(f"forgetting the halves costs more than 0.1 px of the level from scale {first:.2f} on")
