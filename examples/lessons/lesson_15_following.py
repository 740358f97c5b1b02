"""
Following points through a film
===============================

**Question.** A detector reads every frame anew. What does a tracker know that it does not?

Where things were a moment ago, and how fast they move. So it can take the detector's word with a grain of
salt: a point that jumps by ten pixels and back has hardly moved.
"""

import matplotlib.pyplot as plt
import numpy as np

from hybridkp import make_faces
from hybridkp.datasets import make_film
from hybridkp.detection import BoxesGiven, TopDown
from hybridkp.evaluate import make_crops
from hybridkp.imaging import draw_landmarks
from hybridkp.landmarks import FastCascade
from hybridkp.runtime import Tracker
from hybridkp.tracking import smooth_points
from hybridkp.tracking.filters import variance_of

faces = make_crops(make_faces(150, random_state=5), size_hw=(64, 64))
model = FastCascade().fit(faces.images, faces.xy, groups=faces.groups, flip=faces.flip)
film = make_film(60, (160, 160), random_state=1, n_faces=1)
frames = [sample.image for sample in film]
truth = np.stack([sample.instances[0].xy for sample in film])
first_box = film.samples[0].instances[0].box_xywh
detector = TopDown(BoxesGiven(), model)


def follow(**settings):
    """Points (T, K, 2) of the face through the film, and what the detector said of each frame."""
    tracker = Tracker(detector, **settings)
    tracker.detector.finder = None  # nobody looks for new faces here
    rows, seen = [tracker.start(frames[0], [first_box])[0]], [tracker.tracks[0].seen]
    for frame in frames[1:]:
        rows += tracker.update(frame)
        seen.append(tracker.tracks[0].seen)
    return np.stack([r.xy for r in rows]), np.stack(seen), np.stack([r.keypoint_scores for r in rows])


raw, _, _ = follow(filter="none", flow=False)
steady, seen, score = follow()

# %%
# One corner of an eye
# --------------------
# How far its x is from the true one, frame by frame: as detected anew, and as followed.

k = 0
plt.figure(figsize=(8, 3.2))
plt.axhline(0, color="k", lw=0.5)
plt.plot(raw[:, k, 0] - truth[:, k, 0], ".-", label="each frame anew", lw=0.8)
plt.plot(steady[:, k, 0] - truth[:, k, 0], label="followed")
plt.xlabel("frame")
plt.ylabel("x minus the true x, px")
plt.legend()
plt.tight_layout()

# %%
# How calm, how right?
# --------------------
# Jitter is the root mean square of the second difference: what is left when position and speed are taken
# away. A filter can always make it smaller, by lagging behind; so look at the error too.


def jitter(xy):
    return np.sqrt((np.diff(xy, 2, axis=0) ** 2).mean())


def error(xy):
    return np.linalg.norm(xy - truth, axis=2).mean()


ways = {
    "each frame anew": raw,
    "followed, without flow": follow(flow=False)[0],
    "followed": steady,
    "one-euro filter": follow(filter="one-euro")[0],
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True)
left.barh(list(ways), [jitter(xy) for xy in ways.values()])
left.axvline(jitter(truth), color="k", ls=":", label="of the truth")
left.set_xlabel("jitter, px")
left.legend()
right.barh(list(ways), [error(xy) for xy in ways.values()], color="tab:orange")
right.set_xlabel("error, px")
plt.tight_layout()

# %%
# The last frame
# --------------
# Optical flow says how far the picture has moved under each point. It is precise from frame to frame and
# drifts over many. The detector is right on average and noisy in each frame. The Kalman filter weighs the
# two by their variances: each covers the other's weakness.

plt.figure(figsize=(4, 4))
plt.imshow(draw_landmarks(frames[-1], steady[-1], truth=truth[-1])[..., ::-1])
plt.axis("off")
plt.tight_layout()

# %%
# Exercise
# --------
# In a recorded film the future is known too. Smooth the detector's own words in both directions of time with
# ``smooth_points``, and hide frames 25 to 31 from it. What is there?

# %%
# A solution
# ----------
# The gap is filled from both sides: at its ends as well as elsewhere, in its middle with more doubt.

hidden = seen.copy()
hidden[25:32] = np.nan
side = float(max(first_box[2:]))
smooth, variance = smooth_points(hidden, variance_of(score, side), side)
gap = np.linalg.norm(smooth - truth, axis=2)[25:32].mean()
print(f"jitter {jitter(smooth):.2f} px, error {error(smooth):.2f} px, in the gap {gap:.2f} px")
plt.figure(figsize=(8, 3.2))
plt.axhline(0, color="k", lw=0.5)
plt.plot(hidden[:, k, 0] - truth[:, k, 0], ".", label="detected")
middle, doubt = smooth[:, k, 0] - truth[:, k, 0], 2 * np.sqrt(variance[:, k])
plt.plot(middle, label="smoothed")
plt.fill_between(np.arange(len(smooth)), middle - doubt, middle + doubt, alpha=0.3)
plt.xlabel("frame")
plt.ylabel("x minus the true x, px")
plt.legend()
plt.tight_layout()
