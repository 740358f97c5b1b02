"""
Finding objects in a whole picture
==================================

**Question.** All lessons so far began with the crop of one face. Who finds the faces?

A finder slides one question over every place and every size: is there an object, just here, just so large?
The answer is *yes* many times around each object, and now and then where nothing is. This lesson looks at
both, and at the curve that counts them.
"""

import matplotlib.pyplot as plt
import numpy as np

from hybridkp.datasets import make_scenes
from hybridkp.detection import WindowFinder
from hybridkp.imaging import draw_boxes
from hybridkp.metrics import box_figures, box_outcome, box_overlap, froc

train = make_scenes(20, (120, 160), random_state=0, max_faces=4)
test = make_scenes(16, (120, 160), random_state=1, max_faces=4)
truth = [np.array([one.box_xywh for one in sample.instances]).reshape(-1, 4) for sample in test]

# %%
# A window, slid
# --------------
# The finder learns a linear rule on gradient cells, 6 cells wide, from the faces and from windows beside
# them. Small faces are found on the enlarged picture, large ones on small levels of its pyramid. With
# ``overlap=1`` it gives its best windows without looking for neighbours.

finder = WindowFinder(window_cells=6, n_rounds=1, octave=3, mirror=False, overlap=1.0, min_score=0.0)
finder.fit(train.samples)
found = [finder.find(sample.image) for sample in test]

show = max(range(len(test)), key=lambda i: len(truth[i]))
boxes, score = found[show]
liked = boxes[:60]  # best first
image = test.samples[show].image
_, axes = plt.subplots(1, 2, figsize=(10, 4))
axes[0].imshow(draw_boxes(image, truth[show])[..., ::-1])
axes[0].set_title(f"{len(truth[show])} faces", fontsize=10)
axes[1].imshow(draw_boxes(image, liked, (0, 165, 255))[..., ::-1])
axes[1].set_title(f"the {len(liked)} windows with the highest scores", fontsize=10)
for ax in axes:
    ax.set_axis_off()
plt.tight_layout()

# %%
# One box for one object
# ----------------------
# Neighbouring windows say the same. Non-maximum suppression keeps the best one and drops all that overlap
# it too much; then the best of the rest; and so on. Overlap is the area that two boxes share, divided by the
# area that they cover together (IoU).


def suppress(boxes, score, overlap):
    """Rows that stay, best first."""
    order, kept = np.argsort(-score, kind="stable"), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[box_overlap(boxes[[best]], boxes[order])[0] <= overlap]
    return kept


_, axes = plt.subplots(1, 3, figsize=(11, 3))
for ax, overlap in zip(axes, (0.05, 0.4, 0.9), strict=True):
    kept = suppress(liked, score[:60], overlap)
    ax.imshow(draw_boxes(image, liked[kept], (0, 165, 255))[..., ::-1])
    ax.set_title(f"overlap of at most {overlap:g}: {len(kept)} boxes", fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Too strict, and the second of two faces that touch is lost; too lax, and each face is counted several times.
#
# Found against false
# -------------------
# There is no list of the windows without a face, so an ordinary ROC curve cannot be drawn. FROC counts false
# boxes *per picture* instead: the least score falls, more faces are found, more boxes are false. A second
# box on a face that has one already is a false one.


def outcomes(overlap):
    """Of every test picture, after suppression."""
    out = []
    for true, (boxes, score) in zip(truth, found, strict=True):
        kept = suppress(boxes, score, overlap)
        out.append(box_outcome(true, boxes[kept], score[kept]))
    return out


plt.figure(figsize=(6, 4))
for overlap, style in ((0.05, "--"), (0.4, "-"), (0.9, ":")):
    false, share = froc(outcomes(overlap))
    plt.step(false, 100 * share, style, where="post", label=f"overlap of at most {overlap:g}")
plt.xlim(0, 3)
plt.ylim(0, 100)
plt.xlabel("false boxes per picture")
plt.ylabel("faces found, %")
plt.legend(fontsize=8)
plt.tight_layout()

# %%
# The curve says more than one number: a shop's camera may bear one false alarm a picture, a telephone that
# unlocks itself may not. ``hybridkp bench-finders`` draws it for finders of all kinds, and
# ``hybridkp train --finder "hog+svm"`` puts one in front of a detector of landmarks.
#
# Exercise
# --------
# Which overlap is best for this finder? Take the average precision (AP50) as the judge, and say why its
# answer may not be yours.

# %%
# A solution
# ----------
# AP weighs every part of the curve; where you work is one point of it. And whoever takes the best value on
# these sixteen pictures must quote its figure on others.

values = (0.05, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
for overlap in values:
    figures = box_figures(outcomes(overlap))
    print(
        f"overlap {overlap:4.2f}   AP50 {figures['ap50']:.2f}   recall at 0.1 false {figures['recall']:.2f}"
    )
