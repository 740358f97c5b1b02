"""
Gradients and HOG
=================

**Question.** Why do classical methods look at edges, and not at grey values?

Because the light changes, and the edges stay. The histogram of oriented gradients, HOG, goes one step
further: it forgets where exactly in a small cell an edge was, and how bright the picture is.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_hog, to_grey

faces = make_crops(hybridkp.make_faces(220, random_state=0, light=0), size_hw=(64, 64))  # all in even light
face = faces.images[3]

# %%
# One face in two lights
# ----------------------
# The same face, with a shadow from the left. Below each: HOG, a stroke along every edge, cell by cell.


def in_shadow(pictures, depth):
    """A shadow from the left: at depth 1 the border is black."""
    return np.clip(pictures * np.linspace(1 - depth, 1, 64)[:, None], 0, 255).astype(np.uint8)


shadowed = in_shadow(face, 0.8)
_, axes = plt.subplots(2, 2, figsize=(6, 6))
for column, (picture, title) in enumerate(((face, "as it is"), (shadowed, "in the shadow"))):
    axes[0, column].imshow(picture[..., ::-1])
    axes[0, column].set_title(title, fontsize=10)
    axes[1, column].imshow(draw_hog(picture, cell=4))
for ax in axes.ravel():
    ax.set_axis_off()
plt.tight_layout()

# %%
# How alike are the two, in numbers? The correlation of grey values, and of HOG rows.

# window, block, step between blocks, cell, and the number of directions
hog = cv2.HOGDescriptor((64, 64), (16, 16), (8, 8), (8, 8), 9)


def rows_of(pictures):
    """HOG of whole crops, one row each."""
    return np.stack([hog.compute(to_grey(picture)).ravel() for picture in pictures])


def alike(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


print(f"grey values: {alike(to_grey(face).astype(float), to_grey(shadowed).astype(float)):.2f}")
print(f"HOG:         {alike(rows_of([face]), rows_of([shadowed])):.2f}")

# %%
# Does it matter for finding points?
# ----------------------------------
# A linear regression from each to the landmarks: once from grey values, once from HOG. It learns from 180
# faces as they are, and is asked about 40 others, in deeper and deeper shadow.

train, test = slice(0, 180), slice(180, 220)


def grey_rows(pictures):
    return (
        np.stack([cv2.resize(to_grey(p), (32, 32), interpolation=cv2.INTER_AREA).ravel() for p in pictures])
        / 255
    )


class Linear:
    """Ridge regression from rows to points."""

    def __init__(self, rows, penalty):
        known, points = rows(faces.images[train]), faces.xy[train].reshape(180, -1)
        self.rows, self.middle, self.centre = rows, known.mean(0), points.mean(0)
        known = known - self.middle
        gram = known @ known.T + penalty * np.eye(180)  # fewer pictures than features: the dual form
        self.weights = known.T @ np.linalg.solve(gram, points - self.centre)

    def error(self, pictures, truth):
        """Mean distance in px."""
        found = (self.rows(pictures) - self.middle) @ self.weights + self.centre
        return np.linalg.norm(found.reshape(truth.shape) - truth, axis=-1).mean()


models = {"grey values": Linear(grey_rows, 10.0), "HOG": Linear(rows_of, 1.0)}
floor = np.linalg.norm(faces.xy[train].mean(0) - faces.xy[test], axis=-1).mean()
depths = np.linspace(0, 1, 6)
plt.figure(figsize=(6, 3.2))
for name, model in models.items():
    errors = [model.error(in_shadow(faces.images[test], depth), faces.xy[test]) for depth in depths]
    plt.plot(depths, errors, "o-", label=name)
    print(
        f"{name:12s} {errors[0]:.2f} px, in deep shadow {errors[-1]:.2f}: {errors[-1] / errors[0]:.2f} times"
    )
plt.axhline(floor, color="gray", ls="--", label="the mean shape: nothing learned")
plt.xlabel("depth of the shadow")
plt.ylabel("mean error, px")
plt.ylim(0)
plt.legend()
plt.tight_layout()

# %%
# Both lose, and HOG is nearer at every depth. These faces were all photographed in one even light. Try
# ``light=1`` above: a regression that has *seen* many lights in training minds a shadow much less.
# Invariance can be built in, or learned from data.
#
# Exercise
# --------
# Does HOG survive a picture that is turned by a few degrees? Turn the test faces, turn their landmarks with
# them, and draw the error over the angle.

# %%
# A solution
# ----------
# HOG forgives what stays within a cell and an orientation bin of 20 degrees. Beyond that it sees another
# picture.

angles, errors = np.arange(0, 31, 5), []
for angle in angles:
    turn = cv2.getRotationMatrix2D((31.5, 31.5), float(angle), 1.0)
    turned = [cv2.warpAffine(p, turn, (64, 64), borderMode=cv2.BORDER_REPLICATE) for p in faces.images[test]]
    target = faces.xy[test] @ turn[:, :2].T + turn[:, 2]
    errors.append(models["HOG"].error(turned, target))
plt.figure(figsize=(6, 3))
plt.plot(angles, errors, "o-")
plt.xlabel("turned by, degrees")
plt.ylabel("mean error, px")
plt.tight_layout()
