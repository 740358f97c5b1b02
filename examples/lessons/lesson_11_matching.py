"""
Matching two pictures
=====================

**Question.** Two pictures of one place. Which points belong together, and how is the map between them found
when many of the matches are wrong?

In three steps: each point takes its nearest neighbour by descriptor; doubtful matches are dropped; a robust
estimate finds the map on which most of the rest agree.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np

from hybridkp.datasets import make_pairs
from hybridkp.imaging import apply_homography, draw_matches, to_grey
from hybridkp.points import SIFTFeature, estimate_homography, mutual_nearest, ratio_test

pair = next(pair for pair in make_pairs(240) if pair.name == "astronaut-zoom+rotation/2")
left, right = to_grey(pair.load_a()), to_grey(pair.load_b())
sift = SIFTFeature(n_points=500)
(a, rows_a), (b, rows_b) = sift.detect_and_describe(left), sift.detect_and_describe(right)


def is_right(matches):
    """Within 3 px of where the known map says."""
    off = apply_homography(pair.homography, a.xy[matches.index_a]) - b.xy[matches.index_b]
    return np.linalg.norm(off, axis=1) < 3


# %%
# Nearest neighbours
# ------------------
# Blue lines are right, orange dashed ones wrong. The truth is known here, because the second picture was
# made from the first.

nearest = mutual_nearest(rows_a, rows_b)
good = is_right(nearest)
print(f"{len(good)} matches, {good.mean():.0%} of them right")
plt.figure(figsize=(9, 4))
plt.imshow(draw_matches(left, right, a.xy[nearest.index_a], b.xy[nearest.index_b], good, most=120)[..., ::-1])
plt.axis("off")
plt.tight_layout()

# %%
# The ratio test
# --------------
# A match is doubtful when the *second* nearest neighbour is nearly as near: then the descriptor cannot tell
# the two apart (Lowe 2004). The lower the allowed ratio, the cleaner the matches, and the fewer.

ratios = np.linspace(0.4, 1.0, 13)
kept = [ratio_test(rows_a, rows_b, ratio=float(r)) for r in ratios]
share = [is_right(m).mean() if len(m.index_a) else np.nan for m in kept]
number = [is_right(m).sum() if len(m.index_a) else 0 for m in kept]
_, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(ratios, np.multiply(share, 100), "o-", label="share that is right, %")
ax.plot(ratios, number, "s--", color="tab:orange", label="number that is right")
ax.set_xlabel("ratio, nearest / second nearest")
ax.set_ylim(0)
ax.legend()
plt.tight_layout()

# %%
# Agreement
# ---------
# Four matches fix a homography. RANSAC draws four at random, many times, and keeps the map on which most
# matches agree. Wrong matches do not agree with each other, so they need not be known beforehand.

found = ratio_test(rows_a, rows_b, ratio=0.9)
points_a, points_b = a.xy[found.index_a], b.xy[found.index_b]
homography, inlier = estimate_homography(points_a, points_b)[:2]
good = is_right(found)


def off(matrix):
    """How far a map puts the points of the right matches from where they are, the median in px."""
    target = apply_homography(pair.homography, points_a[good])
    return np.nanmedian(np.linalg.norm(apply_homography(matrix, points_a[good]) - target, axis=1))


print(f"{int(inlier.sum())} of {len(inlier)} matches agree; the map is {off(homography):.2f} px off")
plt.figure(figsize=(9, 4))
plt.imshow(draw_matches(left, right, points_a, points_b, inlier, most=120)[..., ::-1])
plt.axis("off")
plt.tight_layout()

# %%
# Exercise
# --------
# Least squares over *all* matches would be simpler. How wrong is it?

# %%
# A solution
# ----------
# One wrong match of a hundred pixels weighs as much as ten thousand right ones that are one pixel off:
# squares do that.

plain, _ = cv2.findHomography(points_a.astype(np.float64), points_b.astype(np.float64), 0)
print(f"least squares: {off(plain):.0f} px off; RANSAC: {off(homography):.2f} px")
