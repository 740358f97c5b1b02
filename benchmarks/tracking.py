"""Objects followed through films, with and without each part of the tracker: what docs/tracking.md shows.

Identities are judged by TrackEval (HOTA, IDF1, swaps; Luiten et al. 2021) with OKS as the similarity: ``pip
install --no-deps trackeval`` (its requirements would lay a second OpenCV over yours). Places are judged on
the objects that were followed, jitter by the second difference of their points. Models are fitted once and
kept in ``--out``.

examples:
  python benchmarks/tracking.py --out runs/tracking --results docs/results
  python benchmarks/tracking.py --sets films --quick --out runs/quick
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, recipes
from hybridkp.datasets import load_dataset, make_film, make_scenes, thin
from hybridkp.files import Film, load_model
from hybridkp.imaging.geometry import points_box, rescale
from hybridkp.metrics import oks_matrix
from hybridkp.runtime import Tracker
from hybridkp.structures import Array, Dataset, InputError, Problem

SIGMA = 0.05  #: of every landmark, in the similarity of identities
#: name -> settings of the tracker; the first is the whole of it
VARIANTS: dict[str, dict[str, Any]] = {
    "tracker": {},
    "one frame late": {"lag": 1},
    "two frames late": {"lag": 2},
    "two frames late, without flow": {"lag": 2, "flow": False},
    "without flow": {"flow": False},
    "one-euro": {"filter": "one-euro"},
    "without a filter": {"filter": "none", "flow": False},
    "a look at every frame": {"filter": "none", "flow": False, "find_every": 1},
}


@dataclass
class Shot:
    """A film with its truth."""

    name: str
    frames: list[Array]
    truth: list[dict[int, Array]]  #: of each frame, object -> (K, 2), NaN = not labelled
    boxes: Array | None = None  #: of the first frame, where no finder is asked


# --------------------------------------------------------------------------------------------
# films
# --------------------------------------------------------------------------------------------


def procedural(quick: bool) -> tuple[Dataset, Iterator[Shot]]:
    """Scenes to learn from, and films over other backgrounds; the first face is away for a while."""
    n, size = (12, (96, 128)) if quick else (75, (240, 320))
    train = make_scenes(12 if quick else 60, size, background="real-train", max_faces=4)

    def films() -> Iterator[Shot]:
        for seed in range(1 if quick else 6):
            away = (n // 3, n // 3 + n // 6)
            film = make_film(n, size, seed, background="real-val", away=away)
            yield Shot(f"film {seed}", [s.image for s in film], [_truth(s.instances) for s in film])

    return train, films()


def _truth(instances: Sequence[Any]) -> dict[int, Array]:
    return {i.track: i.xy for i in instances}


def flies(quick: bool) -> tuple[Dataset, Iterator[Shot]]:
    """Film A at the size of the training pictures; what comes after the training frames is judged."""
    root = sets.data_root() / "flies13"
    train = load_dataset(root, split="train")
    train = train.subset([i for i, s in enumerate(train) if s.name.startswith("A_")])

    def films() -> Iterator[Shot]:
        film = Film(root / "videos" / "A.mp4")
        side = train.samples[0].image.shape[0]
        scale = side / film.size_hw[0]
        truth = rescale(np.load(root / "videos" / "points.npz")["A"].astype(float), scale)
        first = 1200
        frames, rows = [], []
        for frame in film.frames(first):
            frames.append(cv2.resize(frame.image, (side, side), interpolation=cv2.INTER_AREA))
            known = np.isfinite(truth[frame.number]).all(2).any(1)
            rows.append({k: truth[frame.number, k] for k in np.flatnonzero(known)})
        yield Shot("A", frames, rows)

    return train, films()


def faces(quick: bool) -> tuple[Dataset, Iterator[Shot]]:
    """Talking faces; labels are a machine's, and the first frame's box is given."""
    root = sets.data_root() / "grid_av"
    train, val = (load_dataset(root, split=split) for split in ("train", "val"))

    def films() -> Iterator[Shot]:
        for group in dict.fromkeys(val.groups):
            samples = [s for s in val if s.group == group]
            rows = [{0: s.instances[0].xy} for s in samples]
            yield Shot(str(group), [s.image for s in samples], rows, samples[0].instances[0].box_xywh[None])

    return thin(train, 400), films()


#: set -> films, crop side, methods of the models, settings of the tracker on all of them
SETS: dict[str, tuple[Any, int, tuple[str, ...], dict[str, Any]]] = {
    "films": (procedural, 96, ("hog+svm/sdm", "hog+svm/heatmap[input_px=96]"), {}),
    "flies13": (
        flies,
        96,
        ("hog+svm/heatmap[input_px=96,turns=180,max_epochs=40]", "hog+svm/hough-forest"),
        {"max_objects": 2},
    ),
    "grid_av": (faces, 128, ("sdm-fast", "heatmap[input_px=96]"), {}),
}


def fitted(method: str, train: Dataset, side: int, folder: Path, quick: bool) -> Any:
    path = folder / f"{evaluate.file_name(method)}.hkp"
    if not path.is_file():
        made = recipes.make_method(method, quick=quick)
        evaluate.train(made, Problem(train, train, (side, side)), path, name=method)
    return load_model(path)


# --------------------------------------------------------------------------------------------
# figures
# --------------------------------------------------------------------------------------------


def followed(model: Any, shot: Shot, settings: dict[str, Any]) -> tuple[list[dict[int, Array]], float]:
    """Points of every frame by number, and processor seconds a frame."""
    tracker = Tracker(model, **settings)
    rows: list[dict[int, Array]] = []
    start = time.process_time()
    for number, frame in enumerate(shot.frames):
        if shot.boxes is not None and number == 0:
            found = tracker.start(frame, shot.boxes)
        else:
            found = tracker.update(frame)
        rows.append({i.track: i.xy for i in found})
    rows += [{i.track: i.xy for i in found} for found in tracker.finish()]
    del rows[: len(rows) - len(shot.frames)]
    return rows, (time.process_time() - start) / len(rows)


def similarities(shot: Shot, rows: list[dict[int, Array]]) -> list[Array]:
    out = []
    for truth, found in zip(shot.truth, rows, strict=True):
        true, seen = list(truth.values()), list(found.values())
        if not true or not seen:
            out.append(np.zeros((len(true), len(seen))))
            continue
        area = [float(np.prod(points_box(xy)[2:])) for xy in true]
        out.append(oks_matrix(np.stack(true), np.stack(seen), area, np.full(len(true[0]), SIGMA)))
    return out


def identities(shot: Shot, rows: list[dict[int, Array]], similar: list[Array]) -> dict[str, float]:
    """TrackEval's figures."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    true_ids = {k: n for n, k in enumerate(sorted(set().union(*shot.truth)))}
    found_ids = {k: n for n, k in enumerate(sorted(set().union(*rows)))}
    data = {
        "num_timesteps": len(rows),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(found_ids),
        "num_gt_dets": sum(map(len, shot.truth)),
        "num_tracker_dets": sum(map(len, rows)),
        "gt_ids": [np.array([true_ids[k] for k in row], int) for row in shot.truth],
        "tracker_ids": [np.array([found_ids[k] for k in row], int) for row in rows],
        "similarity_scores": similar,
    }
    quiet = {"THRESHOLD": 0.5, "PRINT_CONFIG": False}
    hota = HOTA().eval_sequence(data)
    return {
        "hota": float(np.mean(hota["HOTA"])),
        "hota50": float(hota["HOTA"][9]),
        "idf1": float(Identity(quiet).eval_sequence(data)["IDF1"]),
        "swaps": int(CLEAR(quiet).eval_sequence(data)["IDSW"]),
        "mota": float(CLEAR(quiet).eval_sequence(data)["MOTA"]),
    }


def places(shot: Shot, rows: list[dict[int, Array]], similar: list[Array]) -> dict[str, float]:
    """Mean error and jitter of what was followed, in percent of the object's size; how much was."""
    error, jitter, own, seen, total = [], [], [], 0, 0
    size = {k: size_of(shot, k) for k in sorted(set().union(*shot.truth))}
    for k, length in size.items():
        track = np.full((len(rows), *next(iter(shot.truth[0].values())).shape), np.nan)
        true = track.copy()
        for t, (truth, found) in enumerate(zip(shot.truth, rows, strict=True)):
            if k not in truth:
                continue
            true[t], total = truth[k], total + 1
            row = similar[t][list(truth).index(k)]
            if len(row) and row.max() >= 0.3:
                track[t], seen = list(found.values())[int(row.argmax())], seen + 1
        error.append(np.linalg.norm(track - true, axis=2).ravel() / length)
        jitter.append(np.diff(track, 2, axis=0).ravel() / length)
        own.append(np.diff(true, 2, axis=0).ravel() / length)
    root = [100 * float(np.sqrt(np.nanmean(np.concatenate(v) ** 2))) for v in (jitter, own)]
    return {
        "error": 100 * float(np.nanmean(np.concatenate(error))),
        "jitter": root[0],
        "jitter_of_truth": root[1],
        "followed": seen / max(total, 1),
    }


def returns(shot: Shot, rows: list[dict[int, Array]], similar: list[Array]) -> list[int | None]:
    """Frames until each object that comes back is followed under its old number; None: never."""

    def number(t: int, k: int) -> int | None:
        row = similar[t][list(shot.truth[t]).index(k)]
        return list(rows[t])[int(row.argmax())] if len(row) and row.max() >= 0.5 else None

    out: list[int | None] = []
    for k in sorted(set().union(*shot.truth)):
        there = [t for t, truth in enumerate(shot.truth) if k in truth]
        for last, back in pairwise(there):
            if back - last == 1:
                continue
            known = [n for t in there if last - 10 < t <= last and (n := number(t, k)) is not None]
            if known:
                after = (t - back + 1 for t in there if t >= back and number(t, k) == known[-1])
                out.append(next(after, None))
    return out


def size_of(shot: Shot, k: int) -> float:
    """Square root of the usual area of an object's box, px."""
    return float(np.median([np.sqrt(np.prod(points_box(t[k])[2:])) for t in shot.truth if k in t]))


def judged(name: str, quick: bool, folder: Path) -> dict[str, Any]:
    """Every variant with every model on every film of a set."""
    if name not in SETS:
        raise InputError(f"no such set; there are {', '.join(SETS)}")
    source, side, methods, common = SETS[name]
    methods = methods[:1] if quick else methods
    train, films = source(quick)
    models = {m: fitted(m, train, side, folder, quick) for m in methods}
    rows: list[dict[str, Any]] = []
    for shot in films:
        for method, model in models.items():
            for variant, settings in VARIANTS.items():
                if shot.boxes is not None and "find_every" in settings:
                    continue  # nobody looks
                own = without_finder(model) if shot.boxes is not None else model
                found, seconds = followed(own, shot, {**common, **settings})
                similar = similarities(shot, found)
                row = {"film": shot.name, "method": method, "variant": variant, "frames": len(found)}
                row |= {**places(shot, found, similar), "ms": 1e3 * seconds}
                row |= {**identities(shot, found, similar), "again": returns(shot, found, similar)}
                rows.append(row)
                print(json.dumps(row), file=sys.stderr)
    command = f"python benchmarks/tracking.py --sets {name}"
    facts = sets.now(fit=f"{len(train)} pictures", command=command)
    return {"task": "tracking", "data": name, "provenance": facts, "rows": rows}


def without_finder(model: Any) -> Any:
    from hybridkp.detection import BoxesGiven, TopDown

    top = TopDown(BoxesGiven(), model)
    top.finder = None  # type: ignore[assignment]
    return top


def main(argv: list[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="with commas (default: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the models")
    parser.add_argument("--results", type=Path, help="folder for NAME-tracking.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="one short film: does it run")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    for name in ["films"] if args.quick else args.sets.split(","):
        try:
            document = judged(name, args.quick, args.out / name)
        except (InputError, ImportError) as error:
            print(f"{name}: left out ({error})", file=sys.stderr)
            continue
        sets.publish(args.results, f"{name}-tracking", document)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
