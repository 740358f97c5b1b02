"""What takes the jitter out of followed points, and what it costs: each try on the same detections.

The films are not those that ``tracking.py`` reports: GRID's training films, of which the first half taught
the detector, and procedural films of other seeds with the detectors of ``tracking.py --out``.  Points are
detected once, without a filter, in boxes that follow them; every try then works on the same points.

examples:
  python benchmarks/jitter.py --out runs/tracking --results docs/results
  python benchmarks/jitter.py --quick --out runs/quick
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np
import tracking

from hybridkp.datasets import load_dataset, make_film, make_scenes, thin
from hybridkp.imaging import apply_affine, invert_affine, similarity, to_grey
from hybridkp.runtime import Tracker
from hybridkp.structures import Array
from hybridkp.tracking.filters import AGILITY, KalmanPoints, OneEuroPoints, variance_of
from hybridkp.tracking.flow import DRIFT, follow
from hybridkp.tracking.smoothing import Delayed, smooth_points

SHORTEST = 30  #: frames of a track
NEAR = 0.15  #: mean error in sizes, above which another thing was followed
MOVED = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * 0.03  #: of a box's side, for the mean of four boxes


@dataclass
class Run:
    """One object's detections, T frames in a row, and its truth."""

    xy: Array  #: (T, K, 2)
    score: Array  #: (T, K)
    side: Array  #: (T,)
    four: Array  #: (T, K, 2) mean over four shifted boxes
    truth: Array
    size: float
    grey: list[Array]


def detected(model: Any, shot: tracking.Shot, near: float = NEAR) -> Iterator[Run]:
    """Every object that was followed for long enough."""
    tracker, rows = Tracker(model, filter="none", flow=False), []
    for number, frame in enumerate(shot.frames):
        given = shot.boxes is not None and number == 0
        found = tracker.start(frame, shot.boxes) if given else tracker.update(frame)
        rows.append({i.track: (i.xy, i.keypoint_scores, i.box_xywh) for i in found})
    for k in sorted(set().union(*rows)):
        there = [t for t, row in enumerate(rows) if k in row]
        for part in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
            if len(part) >= SHORTEST and (run := _run(model, shot, rows, part, k, near)):
                yield run


def _run(model: Any, shot: tracking.Shot, rows: list[Any], part: Array, k: int, near: float) -> Run | None:
    xy, score, box = (np.stack([rows[t][k][i] for t in part]) for i in range(3))
    best: tuple[float, Array, float] | None = None
    for name in set().union(*shot.truth):
        if all(name in shot.truth[t] for t in part):
            truth = np.stack([shot.truth[t][name] for t in part])
            off, size = float(np.nanmean(np.linalg.norm(truth - xy, axis=2))), tracking.size_of(shot, name)
            if off < near * size and (best is None or off < best[0]):
                best = off, truth, size
    if best is None:
        return None
    shifted = [[*(b[:2] + d * b[2:]), *b[2:]] for b in box for d in MOVED]
    four = [
        model.in_box(shot.frames[t], np.array(b)).xy for t, b in zip(np.repeat(part, 4), shifted, strict=True)
    ]
    mean = np.stack(four).reshape(len(part), 4, *xy.shape[1:]).mean(1)
    return Run(xy, score, box[:, 2:].max(1), mean, best[1], best[2], [to_grey(shot.frames[t]) for t in part])


# --------------------------------------------------------------------------------------------
# tries
# --------------------------------------------------------------------------------------------


def kalman(run: Run, agility: float, drift: float | None) -> Array:
    """As the tracker; ``drift`` None: without flow."""
    filter_ = KalmanPoints(run.xy[0], variance_of(run.score[0], run.side[0]), run.side[0], agility)
    out, nothing = [run.xy[0]], (np.full(run.xy[0].shape, np.nan), np.ones(run.xy.shape[1]))
    for t in range(1, len(run.xy)):
        side = run.side[t]
        moved, variance = nothing if drift is None else follow(run.grey[t - 1], run.grey[t], filter_.xy)
        filter_.predict(1.0, side, moved, variance + ((drift or 0.0) * side) ** 2)
        filter_.correct(run.xy[t], variance_of(run.score[t], side), side)
        out.append(filter_.xy)
    return np.stack(out)


def one_euro(xy: Array, side: Array, cutoff: float, slope: float) -> Array:
    filter_ = OneEuroPoints(xy[0], np.ones(xy.shape[1]), 1.0)
    filter_.cutoff, filter_.slope = cutoff, slope  # type: ignore[misc]
    out = [xy[0]]
    for t in range(1, len(xy)):
        filter_.predict(1.0, side[t], xy[t], np.ones(xy.shape[1]))
        filter_.correct(xy[t], np.ones(xy.shape[1]), side[t])
        out.append(filter_.xy)
    return np.stack(out)


def own_frame(run: Run, cutoff: float) -> Array:
    """The object's turn, scale and place lightly smoothed, its shape strongly."""
    to_first = similarity(run.xy, np.broadcast_to(run.xy[0], run.xy.shape))
    shape = np.stack([apply_affine(m, p) for m, p in zip(to_first, run.xy, strict=True)])
    shape = one_euro(shape, np.full(len(shape), run.side[0]), cutoff, 5.0)
    middle, reach = run.xy[0].mean(0), float(run.xy[0].std())
    arms = np.array([middle, middle + [reach, 0], middle + [0, reach]])
    pose = np.stack([apply_affine(invert_affine(m), arms) for m in to_first])
    pose = one_euro(pose, run.side, 0.3, 30.0)
    return np.stack([apply_affine(similarity(arms, p), s) for p, s in zip(pose, shape, strict=True)])


def late(run: Run, lag: int) -> Array:
    delayed = Delayed(run.xy[0], variance_of(run.score[0], run.side[0]), run.side[0], lag)
    out: list[Array] = []
    for t in range(1, len(run.xy)):
        delayed.add(1.0, run.side[t], run.xy[t], variance_of(run.score[t], run.side[t]))
        out += [xy] if t >= lag and (xy := delayed.ago(lag)) is not None else []
    rest = [delayed.ago(n) for n in range(lag - 1, -1, -1)]
    return np.stack([*out, *(xy for xy in rest if xy is not None)])


def after(run: Run) -> Array:
    side = float(np.median(run.side))
    return smooth_points(run.xy, variance_of(run.score, side), side)[0]


TRIES: dict[str, Callable[[Run], Array]] = {
    "as detected": lambda run: run.xy,
    "mean of four boxes": lambda run: run.four,
    "one-euro": lambda run: one_euro(run.xy, run.side, OneEuroPoints.cutoff, OneEuroPoints.slope),
    "one-euro, stronger": lambda run: one_euro(run.xy, run.side, 0.1, 5.0),
    "shape and pose apart": partial(own_frame, cutoff=0.1),
    "shape and pose apart, stronger": partial(own_frame, cutoff=0.05),
    "Kalman": partial(kalman, agility=AGILITY, drift=None),
    "Kalman, calmer": partial(kalman, agility=AGILITY / 3, drift=None),
    "Kalman, flow trusted in full": partial(kalman, agility=AGILITY, drift=0.0),
    "Kalman, flow trusted in part": partial(kalman, agility=AGILITY, drift=DRIFT),
    "one frame late": partial(late, lag=1),
    "two frames late": partial(late, lag=2),
    "four frames late": partial(late, lag=4),
    "after the fact": after,
}


# --------------------------------------------------------------------------------------------
# films
# --------------------------------------------------------------------------------------------


def grid(out: Path) -> Iterator[Run]:
    """GRID's training films: the first half teaches."""
    train = load_dataset(sets.data_root() / "grid_av", split="train")
    films = list(dict.fromkeys(train.groups))
    taught, told = films[: len(films) // 2 + 1], films[len(films) // 2 + 1 :]
    part = train.subset([i for i, group in enumerate(train.groups) if group in taught])
    model = tracking.without_finder(tracking.fitted("sdm-fast", thin(part, 400), 128, out / "jitter", False))
    for film in told:
        own = [s for s in train if s.group == film]
        rows = [{0: s.instances[0].xy} for s in own]
        yield from detected(
            model, tracking.Shot(str(film), [s.image for s in own], rows, own[0].instances[0].box_xywh[None])
        )


def procedural(method: str, out: Path, quick: bool = False) -> Iterator[Run]:
    n, size = (SHORTEST, (96, 128)) if quick else (75, (240, 320))
    train = make_scenes(12 if quick else 60, size, background="real-train", max_faces=4)
    model = tracking.fitted(method, train, 96, out / "films", quick)
    for seed in (20,) if quick else (20, 21, 22):
        film = make_film(n, size, seed, background="real-train")
        truth = [{i.track: i.xy for i in s.instances} for s in film]
        first = np.stack([i.box_xywh for i in film.samples[0].instances]) if quick else None
        own = tracking.without_finder(model) if quick else model
        shot = tracking.Shot(str(seed), [s.image for s in film], truth, first)
        yield from detected(own, shot, np.inf if quick else NEAR)


def figures(runs: list[Run], name: str) -> list[dict[str, Any]]:
    """Error and jitter of every try, in percent of the object's size."""
    rows = []
    for what, attempt in TRIES.items():
        start = time.process_time()
        found = [attempt(run) for run in runs]
        ms = 1e3 * (time.process_time() - start) / sum(len(run.xy) for run in runs)
        off = [
            np.linalg.norm(xy - r.truth, axis=2).ravel() / r.size for xy, r in zip(found, runs, strict=True)
        ]
        shake = [np.diff(xy, 2, axis=0).ravel() / r.size for xy, r in zip(found, runs, strict=True)]
        error = 100 * float(np.nanmean(np.concatenate(off)))
        jitter = 100 * float(np.sqrt(np.nanmean(np.concatenate(shake) ** 2)))
        rows.append({"set": name, "try": what, "error": error, "jitter": jitter, "ms": ms})
    own = np.concatenate([(np.diff(r.truth, 2, axis=0) / r.size).ravel() for r in runs])
    for row in rows:
        row["jitter_of_truth"] = 100 * float(np.sqrt(np.nanmean(own**2)))
        row["frames"] = sum(len(run.xy) for run in runs)
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the models, as of tracking.py")
    parser.add_argument("--results", type=Path, help="folder for jitter.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="one short film: does it run")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    if args.quick:
        sources = {"films": procedural("sdm-fast", args.out, True)}
    else:
        methods = tracking.SETS["films"][2]
        sources = {"talking faces, `sdm-fast`": grid(args.out)}
        sources |= {f"procedural films, `{m}`": procedural(m, args.out) for m in methods}
    rows = []
    for name, runs in sources.items():
        if kept := list(runs):
            rows += figures(kept, name)
            print(name, len(kept), "tracks", file=sys.stderr)
    for row in rows:
        print(f"{row['set']}: {row['try']}: error {row['error']:.2f} %, jitter {row['jitter']:.2f} %")
    document = {"provenance": sets.now(command="python benchmarks/jitter.py"), "rows": rows}
    sets.publish(args.results, "jitter", document)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
