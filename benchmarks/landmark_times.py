"""Milliseconds from a decoded picture and a box to points, of every model of a bench: with dlib, in turn.

Contract: one thread and its processor time, so that other jobs' turns do not count; real pictures and
boxes of the evaluated part, one object at a time, as an application has it.  Each round asks every
contender about the same object, in random order, four times in a row, and times the last: as in a film,
where the model is in the cache.  The first rounds are dropped; medians with quartiles,
and the ratio is the median of the rounds' ratios.  "runtime" is the exported model, without torch and
scikit-learn, on ONNX Runtime or on cv2.dnn; "estimator" is the model as Python has it (torch), for those
that cannot be exported.

examples:
  python benchmarks/landmark_times.py runs/faces ../shared/data/faces68
  python benchmarks/landmark_times.py runs/faces ../shared/data/faces68 --methods dlib,blend --profile blend
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np

from hybridkp import datasets, runtime
from hybridkp.evaluate import make_crops
from hybridkp.files import load_model, read_meta
from hybridkp.imaging.crops import predict_in_box
from hybridkp.memory.threads import limit_threads
from hybridkp.structures import InputError

WARM_UP = 5  # rounds
BURST = 4  # calls in a row, of which the last is timed
Call = Callable[[Any, Any], Any]  #: picture and box to points


def contenders(paths: Sequence[Path], folder: Path, engines: Sequence[str]) -> dict[tuple[str, str], Call]:
    """(method, how it runs) -> call."""
    out: dict[tuple[str, str], Call] = {}
    for path in paths:
        name, model, meta = path.stem.rsplit("-", 1)[0], load_model(path), read_meta(path)
        name = str(meta.get("method", name))
        try:
            exported = runtime.export_runtime(model, folder / f"{len(out)}.hkr", meta)
        except InputError:
            out[name, "estimator"] = _estimator(model, meta)
            continue
        for engine in engines:
            out[name, f"runtime, {engine}"] = runtime.load(exported, engine).detect
            if b".onnx" not in exported.read_bytes():
                out[name, "runtime"] = out.pop((name, f"runtime, {engine}"))
                break
    return out


def _estimator(model: Any, meta: dict[str, Any]) -> Call:
    size, margin = tuple(meta["size_hw"]), float(meta["margin"])

    def predict(crop: Any) -> Any:
        return (model.predict(crop[None])[0],)

    return lambda image, box: predict_in_box(predict, image, box, size, margin)[0]


def measure(calls: dict[Any, Call], objects: Sequence[tuple[Any, Any]], rounds: int) -> dict[Any, Any]:
    """Processor ms per call (rounds,) of every contender."""
    rng = np.random.default_rng(0)
    took: dict[Any, list[float]] = {name: [] for name in calls}
    for i in range(WARM_UP + rounds):
        image, box = objects[i % len(objects)]
        for j in rng.permutation(len(calls)):
            name = list(calls)[j]
            for _ in range(BURST - 1):  # as in a film: the model is in the cache
                calls[name](image, box)
            start = time.process_time()
            calls[name](image, box)
            took[name].append(1e3 * (time.process_time() - start))
    return {name: np.array(values[WARM_UP:]) for name, values in took.items()}


def quartiles(values: Any) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def profile(call: Call, objects: Sequence[tuple[Any, Any]]) -> None:
    """The functions of ours and of others in which a method's time goes."""
    profiler = cProfile.Profile()
    for image, box in objects:
        profiler.runcall(call, image, box)
    print(f"\n{len(objects)} objects:", flush=True)
    pstats.Stats(profiler, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(14)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    paths = sorted((args.out / "models").glob("*.hkp"))
    if args.methods:
        paths = [p for p in paths if str(read_meta(p).get("method")) in args.methods]
    if not paths:
        raise InputError(f"{args.out}: no models there; run `hybridkp bench --out {args.out}` first")
    data = datasets.load_dataset(args.data, "val")
    crops = make_crops(data)
    rows = np.linspace(0, len(crops) - 1, min(args.rounds, len(crops))).astype(int)
    samples = [data.samples[crops.sample[r]] for r in rows]
    objects = [(s.image, s.instances[crops.instance[r]].box_xywh) for s, r in zip(samples, rows, strict=True)]
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder, limit_threads(1):
        calls = contenders(paths, Path(folder), args.engines)
        took = measure(calls, objects, args.rounds)
        base = next((took[name] for name in took if name[0] == args.base), None)
        lines = []
        for (name, how), values in sorted(took.items(), key=lambda item: float(np.median(item[1]))):
            ratio = "–" if base is None else quartiles(values / np.maximum(base, 1e-6))
            lines.append([f"`{name}`", how, quartiles(values), ratio])
        print(sets.markdown(["method", "runs as", "ms / object", f"/ {args.base}"], lines), flush=True)
        for (name, how), call in calls.items():
            if name == args.profile and "cv2" not in how:
                profile(call, objects)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("out", type=Path, help="folder of a bench, with its models")
    parser.add_argument("data", help="the data set whose val part gives pictures and boxes")
    parser.add_argument("--methods", type=sets.names_of, help="default: all")
    parser.add_argument("--base", default="dlib", help="ratios to this one (default: %(default)s)")
    parser.add_argument("--engines", type=sets.names_of, default=["onnxruntime", "cv2.dnn"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--profile", help="also show where the time of this method goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
