"""Objects at any angle: the step ``upright`` on turned pictures, and what it costs.

    python benchmarks/turned.py -o docs/results/turned.json --keep runs/turned

Each judged picture is turned about the middle of its object's box by 0, 45, ..., 315 degrees, and cut in a
box of the same size there, so that corners are real.  A method is asked as it is, behind the step, and as
the step would ask it if it knew the turn ("exact"); errors are in % of the box's longer side.  Times are
processor time of the runtime, crop by crop in turns, divided by that of the method with ``presence``.  A
method that the file holds already is not asked again; ``--keep`` is where trainings are kept, so that a run
that was stopped goes on.  Options are those of ``presence.py``, "--quick" included.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np
from presence import judge_each, read_arguments

from hybridkp import evaluate, runtime
from hybridkp.imaging.crops import cut
from hybridkp.imaging.geometry import about_middle, apply_affine, compose, crop_matrix
from hybridkp.landmarks.nodes.upright import turned_back
from hybridkp.landmarks.upright import turned_batch, turns_against, upright_shape
from hybridkp.recipes import make_method
from hybridkp.stats import bootstrap_interval
from hybridkp.structures import Array, Problem, predict_all

NET = "heatmap[input_px=64,max_epochs=20]"
METHODS = ("hog+ridge", "sdm", NET, f"{NET}:sdm")
STEPS = ":presence:upright"
ANGLES = tuple(range(0, 360, 45))
TIMED = 40  #: crops on the clock, at each angle
FAR = 10.0  #: % of the side; a mean error above it is a failure


def turned(problem: Problem, degrees: float) -> tuple[Array, Array]:
    """Crops (B, H, W, 3) of turned pictures, and their points (B, K, 2)."""
    crops, points = [], []
    for sample in problem.val:
        one = sample.instances[0]
        to_crop = crop_matrix(one.box_xywh, problem.size_hw, problem.margin)
        matrix = compose(about_middle(problem.size_hw, degrees), to_crop)  # the box's middle is the crop's
        crops.append(cut(sample.image, matrix, problem.size_hw))
        points.append(apply_affine(matrix, one.xy))
    return np.stack(crops), np.stack(points)


def judged(method: str, problem: Problem, angles: Sequence[int]) -> dict[str, Any]:
    """Errors of a method and of it behind the step at each angle, and how long the latter takes."""
    crops = evaluate.make_crops(problem.train, problem.size_hw, problem.margin)
    groups = evaluate.make_crops(problem.val, problem.size_hw, problem.margin).groups
    models = {}
    for kind, expression in (("plain", method), ("upright", method + STEPS)):
        model = make_method(expression)
        models[kind] = model.fit(crops.batch, crops.xy, groups=crops.groups, flip=crops.flip)
    clocks = [exported(model) for model in (models["upright"].detector_, models["upright"])]
    side = max(problem.size_hw) / problem.margin
    row: dict[str, Any] = {"method": method, "steps": STEPS, "angles": list(angles), "time": []}
    asked = {kind: model.predict for kind, model in models.items()}
    asked["exact"] = partial(told_the_turn, models["upright"].detector_, upright_shape(crops.xy))
    row |= {kind: {"error": [], "failed": []} for kind in asked}
    every: dict[str, list[Array]] = {kind: [] for kind in asked}
    for degrees in angles:
        images, truth = turned(problem, degrees)
        for kind, predict in asked.items():
            xy = predict(images, truth) if kind == "exact" else predict(images)
            each = 100 * np.nanmean(np.linalg.norm(xy - truth, axis=2), axis=1) / side
            every[kind].append(each)
            row[kind]["error"].append(float(each.mean()))
            row[kind]["failed"].append(float((each > FAR).mean()))
        row["time"].append(time_ratio(clocks, images))
    for kind, found in every.items():
        interval = bootstrap_interval(np.mean(found, axis=0), groups)
        row[kind]["all"] = [float(interval.value), float(interval.low), float(interval.high)]
    return row


def told_the_turn(detector: Any, mean: Array, images: Array, truth: Array) -> Array:
    """Points (B, K, 2) of crops that are turned upright by their true points against the mean shape."""
    turns = turns_against(mean, truth)
    found = predict_all(detector, turned_batch(images, -turns))
    size_hw = images.shape[1:3]
    return np.stack([turned_back(found[i], size_hw, turn).xy for i, turn in enumerate(turns)])


def exported(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return runtime.load(runtime.export_runtime(model, Path(folder) / "m.hkr"))


def time_ratio(detectors: Sequence[Any], images: Array) -> float:
    """Mean processor time of a crop by the second detector, divided by the first's, taken in turns."""
    times = np.zeros((min(TIMED, len(images)), 2))
    for i in range(-3, len(times)):
        for j, detector in enumerate(detectors):
            start = time.process_time()
            detector.predict_all(images[max(i, 0)][None])
            times[max(i, 0), j] = time.process_time() - start
    first, second = times.mean(axis=0)
    return float(second / first)


def main(arguments: Sequence[str] | None = None) -> None:
    args = read_arguments(__doc__, METHODS, arguments, ["faces68", "bees32"])
    judge_each(args, {}, partial(judged, angles=ANGLES[:2] if args.quick else ANGLES), told)


def told(row: dict[str, Any]) -> list[str]:
    errors = {kind: row[kind]["error"] for kind in ("plain", "upright", "exact")}
    lines = [
        f", {kind}: {', '.join(f'{e:.1f}' for e in each)} % of the side" for kind, each in errors.items()
    ]
    return [*lines, f", time: {', '.join(f'{t:.2f}' for t in row['time'])}"]


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
