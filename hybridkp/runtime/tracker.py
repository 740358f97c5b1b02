"""Objects followed from frame to frame: the detector's points in each one's box, with flow and motion.

Frames (h, w[, 3]) uint8 come in one by one, instances with ``track`` and points in frame px go out.  What
is kept does not grow with the film.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..imaging.crops import box_of, usable_box
from ..imaging.images import as_uint8, depth_of, in_255, to_grey
from ..metrics.boxes import box_overlap
from ..structures import Array, InputError, Instance, Parameters, as_boxes, check_whole
from ..tracking.filters import FILTERS, variance_of
from ..tracking.flow import DRIFT, follow
from ..tracking.identity import appearance, assign
from ..tracking.smoothing import Delayed
from .track import Track, alike, as_instance, is_there, strange

SAME_BOX = 0.3  #: overlap of a found box with a followed object's, from which they are the same
SAME_OBJECT = 0.6  #: similarity of two objects' points, from which they are one object seen twice
UNSEEN = 3  #: frames in a row, or looks of the finder in a row, after which an object is lost
AGAIN = 4  #: frames between two looks of the finder while an object is lost, at most
#: of a tracker's state, besides the tracks
_OWN = ("frame", "next_number", "until_look", "time", "pace", "bits")


class Tracker(Parameters):
    """Follows every object of a film; one call a frame.

    Between two looks of the finder each object's box comes from its own points: optical flow and motion
    say where they should be, the detector sees them there, and a Kalman filter weighs the two by their
    variances, the detector's from its calibrated scores.  An object that is lost is looked for in the whole
    frame and told from others by place and appearance, so that it gets its number back.

    Parameters
    ----------
    detector : of whole pictures, as :func:`hybridkp.runtime.load` gives it or a
        :class:`~hybridkp.detection.TopDown`.  One without a finder follows what :meth:`start` is given
    find_every : frames between two looks of the finder; after a loss it looks at once, and then at every
        fourth frame until the object is back or given up
    max_objects : as many objects as there can be, where that is known: a found one is then never new
    filter : "kalman"; "one-euro" (Casiez et al. 2012), lighter, without flow; "none": the points as detected
    flow : follow points by Lucas-Kanade flow between frames
    patience : frames after which the number of a lost object is given up
    lag : frames that :meth:`update` is late: its points are smoothed by what came after them, which halves
        their jitter and costs hardly any accuracy.  :meth:`finish` gives the last ones

    Examples
    --------
    >>> import numpy as np
    >>> from hybridkp.detection import BoxesGiven, TopDown
    >>> from hybridkp.landmarks import MeanShape
    >>> crops, xy = np.zeros((2, 32, 32), np.uint8), np.full((2, 1, 2), 15.5)
    >>> tracker = Tracker(TopDown(BoxesGiven({"": [[10, 20, 40, 40]]}), MeanShape().fit(crops, xy)))
    >>> [(i.track, i.xy.round(1).tolist()) for i in tracker.update(np.zeros((90, 90), np.uint8))]
    [(0, [[29.5, 39.5]])]
    """

    def __init__(
        self,
        detector: Any,
        find_every: int = 10,
        max_objects: int | None = None,
        filter: str = "kalman",
        flow: bool = True,
        patience: int = 250,
        lag: int = 0,
    ) -> None:
        self.detector = detector
        self.find_every = find_every
        self.max_objects = max_objects
        self.filter = filter
        self.flow = flow
        self.patience = patience
        self.lag = lag
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new film begins."""
        if self.filter not in [*FILTERS]:
            raise InputError(f"filter {self.filter!r} is none of {[*FILTERS]}")
        for name in ("find_every", "patience", *["max_objects"] * (self.max_objects is not None)):
            check_whole(getattr(self, name), name, 1)
        check_whole(self.lag, "lag, in frames,", 0, 100)
        if not hasattr(getattr(self.detector, "whole", self.detector), "in_box"):
            raise InputError(
                "a tracker asks a finder and a detector of crops, and a method that begins with whole"
                " pictures has neither: train one with a finder"
            )
        self.tracks: list[Track] = []
        self.frame, self.next_number, self.until_look = -1, 0, 0
        self.time: float | None = None
        self.pace: float | None = None
        self.bits = 0  #: of 16-bit frames: what the brightest so far needs; of floats: 8 once in 0..255
        self.before: Array | None = None
        self.waiting: list[list[Instance]] = []  #: of the last ``lag`` frames
        self._step = 1.0

    # ----------------------------------------------------------------------------------------
    # the loop
    # ----------------------------------------------------------------------------------------

    def update(self, frame: Array, time: float | None = None) -> list[Instance]:
        """The objects of the next frame.

        Parameters
        ----------
        frame : (h, w) or (h, w, 3) BGR, all of one size.  16-bit ones are all read with the bits that the
            brightest so far needs, and floats as 0..255 once one was, so that a scene does not flicker
        time : of the frame in seconds, for films whose frames are not evenly spaced

        Returns
        -------
        list of Instance, by their numbers, ``track``.  A lost object is not among them.  With a ``lag`` they
        are those of so many frames before, and there are none in the first ones.
        """
        image, grey = self._read(frame)
        self._step = self._elapsed(time)
        self.frame += 1
        self._predict(grey, self._step)
        live = self._live
        for track in live:
            self._see(track, image)
        self._drop_doubles()
        for track in self.tracks:
            track.unseen += track.lost
        self.until_look -= 1
        if self.until_look < 0 or any(track.lost for track in live):
            self._look(image)
        kept = [t for t in self.tracks if not t.lost or t.unseen <= self.patience]
        self.tracks, self.before = kept, grey
        return self._given([as_instance(track) for track in self.tracks if not track.lost and track.sure])

    def start(self, frame: Array, boxes_xywh: Any) -> list[Instance]:
        """Begin with objects in known boxes (N, 4): for a detector without a finder."""
        image, grey = self._read(frame)
        boxes = as_boxes(boxes_xywh)
        one = boxes.ndim == 1 and boxes.size > 0
        usable = [box_of(image, box) for box in (boxes[None] if one else boxes)]
        for box in usable:  # all are looked at before one is followed
            self._new(self.detector.in_box(image, box), image).sure = True
        self.before, self.until_look = grey, self.find_every
        return self._given([as_instance(track) for track in self.tracks if track.sure])

    def finish(self) -> list[list[Instance]]:
        """The objects of the last ``lag`` frames, each frame a list: no more frames follow."""
        out = [self._smoothed(found, len(self.waiting) - 1 - n) for n, found in enumerate(self.waiting)]
        self.waiting = []
        return out

    def _given(self, now: list[Instance]) -> list[Instance]:
        """What is given out now."""
        self.waiting.append(now)
        return self._smoothed(self.waiting.pop(0), self.lag) if len(self.waiting) > self.lag else []

    def _smoothed(self, found: list[Instance], ago: int) -> list[Instance]:
        """Objects of ``ago`` frames before, by what has been seen since."""
        delayed = {track.number: track.delayed for track in self._live if track.delayed is not None}
        points = [delayed[i.track].ago(ago) if i.track in delayed else None for i in found]
        return [i if xy is None else replace(i, xy=xy) for i, xy in zip(found, points, strict=True)]

    @property
    def _live(self) -> list[Track]:
        """Those that are followed now."""
        return [track for track in self.tracks if not track.lost]

    def _read(self, frame: Array) -> tuple[Array, Array]:
        """A frame as uint8 and in grey.

        The bits of the first frame alone would cut what is brighter later, where a film begins in the dark.
        """
        given = np.asarray(frame)
        deep = given.dtype.newbyteorder("=") == np.uint16 and given.any()
        needed = depth_of([given]) if deep else 8 * in_255(given)
        image = as_uint8(given, "frame", None if needed > self.bits else self.bits or None)
        grey = to_grey(image)
        if self.before is not None and self.before.shape != grey.shape:
            raise InputError(f"frame: {grey.shape} px after {self.before.shape}; reset() between films")
        self.bits = max(self.bits, needed)
        return image, grey

    def _elapsed(self, time: float | None) -> float:
        """Time since the last frame, in usual frames: their length follows what is seen, slowly."""
        if time is not None and not (isinstance(time, float | int | np.number) and np.isfinite(time)):
            raise InputError(f"time must be a number of seconds, or None, got {time!r:.60}")
        last, self.time = self.time, None if time is None else float(time)
        if time is None or last is None or not time > last:
            return 1.0
        step = time - last
        self.pace = step if self.pace is None else self.pace * float(np.clip(step / self.pace, 0.95, 1.05))
        return float(np.clip(step / self.pace, 0.1, 10.0))

    def _predict(self, grey: Array, frames: float) -> None:
        live = self._live
        if not live:
            return
        xy = np.stack([track.filter.xy for track in live])  # (N, K, 2)
        moved, variance = np.full(xy.shape, np.nan), np.ones(xy.shape[:2])
        if self.flow and self.filter == "kalman" and self.before is not None:
            moved, variance = follow(self.before, grey, xy.reshape(-1, 2))
            moved, variance = moved.reshape(xy.shape), variance.reshape(xy.shape[:2])
        for track, d, v in zip(live, moved, variance, strict=True):
            track.filter.predict(frames, track.side, d, v + (DRIFT * track.side) ** 2)

    def _see(self, track: Track, image: Array) -> None:
        """The detector's word on a followed object."""
        box, _ = usable_box(track.ahead(), image.shape[:2])
        if box is None:  # it has left the picture
            track.lost = True
            return
        seen = self.detector.in_box(image, box)
        score: Array = seen.keypoint_scores  # type: ignore[assignment]
        track.seen = seen.xy
        if not is_there(track, seen):
            track.seen = np.full_like(seen.xy, np.nan)
            track.unseen += 1
            track.lost = track.unseen >= UNSEEN
            self._delay(track, track.seen, score, track.side)
            return
        track.unseen = 0
        track.usual += 0.1 * (seen.score - track.usual)
        side = float(max(box[2:]))
        track.filter.correct(seen.xy, variance_of(score, side), side)
        track.score, track.box, track.side = score, box, side
        self._delay(track, seen.xy, score, side)

    def _delay(self, track: Track, xy: Array, score: Array, side: float) -> None:
        if track.delayed is not None:
            track.delayed.add(self._step, side, xy, variance_of(score, side))

    def _drop_doubles(self) -> None:
        """Of two that have become one, the one that is seen worse is lost."""
        live = self._live
        for i, one in enumerate(live):
            for other in live[i + 1 :]:
                if not (one.lost or other.lost) and alike(one, other.filter.xy) > SAME_OBJECT:
                    worse = min(one, other, key=lambda t: (t.sure, t.usual, -t.number))
                    worse.lost, worse.unseen = True, UNSEEN

    # ----------------------------------------------------------------------------------------
    # state
    # ----------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """All that is remembered but the last frame, as plain values that JSON takes; not with a ``lag``."""
        if self.lag:
            raise InputError(
                "a tracker with a lag cannot be stopped and go on: use lag=0, and smooth afterwards"
            )
        tracks = [
            {k: _plain(v) for k, v in {**vars(track), "filter": vars(track.filter)}.items()}
            for track in self.tracks
        ]
        return {**{name: getattr(self, name) for name in _OWN}, "tracks": tracks}

    def set_state(self, state: Mapping[str, Any], last_frame: Array) -> None:
        """Go on from what :meth:`get_state` gave after ``last_frame`` (h, w[, 3]).

        Raises
        ------
        InputError
            For what :meth:`get_state` did not give.
        """
        self.reset()
        try:
            self._restore(state)
        except (KeyError, TypeError, AttributeError, ValueError):
            told = "a tracker's state is what get_state() gave; begin anew, with reset() or in another folder"
            raise InputError(told) from None
        self.before = self._read(last_frame)[1]

    def _restore(self, state: Mapping[str, Any]) -> None:
        for name in _OWN:
            setattr(self, name, state[name])
        for known in state["tracks"]:
            track, filter_ = Track.__new__(Track), FILTERS[self.filter].__new__(FILTERS[self.filter])
            vars(filter_).update({k: _array(v) for k, v in known["filter"].items()})
            vars(track).update({**{k: _array(v) for k, v in known.items()}, "filter": filter_})
            self.tracks.append(track)

    # ----------------------------------------------------------------------------------------
    # looks of the finder
    # ----------------------------------------------------------------------------------------

    def _look(self, image: Array) -> None:
        """The whole frame: who is still there, who came, who came back."""
        self.until_look = self.find_every - 1
        finder = getattr(self.detector, "finder", None)
        if finder is None:
            return
        boxes, score = finder.find(image)
        boxes = boxes[score >= self.detector.min_score]
        live = self._live
        own = np.array([track.box for track in live]).reshape(-1, 4)
        pairs = assign(1 - box_overlap(boxes, own), 1 - SAME_BOX)
        for i, j in pairs:
            live[j].overlooked, live[j].sure = 0, True
            live[j].grow += 0.2 * (Track._growth(live[j].filter.xy, boxes[i]) - live[j].grow)
            live[j].row = 0.9 * live[j].row + 0.1 * appearance(image, live[j].box)
        for track in (track for j, track in enumerate(live) if j not in {j for _, j in pairs}):
            track.overlooked += 1
            track.lost = not track.sure or track.overlooked >= UNSEEN
            self.until_look = 0  # look again in the next frame
        self.tracks = [track for track in self.tracks if track.sure or not track.lost]
        self._arrive(image, np.delete(boxes, [i for i, _ in pairs], axis=0))
        if any(track.lost for track in self.tracks):
            self.until_look = min(self.until_look, AGAIN - 1)

    def _arrive(self, image: Array, boxes: Array) -> None:
        """Objects in boxes that belong to no followed object: lost ones that are back, or new ones."""
        usable = [box for box in boxes if usable_box(box, image.shape[:2])[0] is not None]
        seen = [self.detector.in_box(image, box) for box in usable]
        live = self._live
        seen = [s for s in seen if all(alike(t, s.xy) <= SAME_OBJECT for t in live)]
        lost = [track for track in self.tracks if track.lost]
        rows = [appearance(image, s.box_xywh) for s in seen]
        full = self.max_objects is not None and len(self.tracks) >= self.max_objects
        cost = np.array([[strange(t, s, row, full) for t in lost] for s, row in zip(seen, rows, strict=True)])
        pairs = dict(assign(cost.reshape(len(seen), len(lost)), np.inf if full else 1.0))
        for i, instance in enumerate(seen):
            if i in pairs:
                self._back(lost[pairs[i]], instance)
            elif self.max_objects is None or len(self.tracks) < self.max_objects:
                self._new(instance, image).sure = self.frame == 0
                self.until_look = 0  # look again: one find may be an accident

    def _new(self, seen: Instance, image: Array) -> Track:
        track = Track(self.next_number, seen, self._filter(seen), appearance(image, seen.box_xywh))
        track.delayed = self._delayed(seen)
        self.next_number += 1
        self.tracks.append(track)
        return track

    def _back(self, track: Track, seen: Instance) -> None:
        track.lost, track.unseen, track.overlooked = False, 0, 0
        track.filter, track.box, track.seen = self._filter(seen), seen.box_xywh, seen.xy
        track.delayed = self._delayed(seen)
        track.score, track.side = seen.keypoint_scores, float(max(seen.box_xywh[2:]))  # type: ignore[assignment]

    def _filter(self, seen: Instance) -> Any:
        side = float(max(seen.box_xywh[2:]))
        return FILTERS[self.filter](seen.xy, variance_of(seen.keypoint_scores, side), side)  # type: ignore[arg-type]

    def _delayed(self, seen: Instance) -> Delayed | None:
        side, score = float(max(seen.box_xywh[2:])), np.asarray(seen.keypoint_scores)
        return Delayed(seen.xy, variance_of(score, side), side, self.lag) if self.lag else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value
