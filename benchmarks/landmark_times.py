"""Milliseconds from a decoded picture and a box to points, of every model of a bench: with dlib, in turn.

Contract: one thread and its processor time, so that other jobs' turns do not count; real pictures and
boxes of the evaluated part, one object at a time, as an application has it.  Each round asks every
contender about the same object, in random order, four times in a row, and times the last: as in a film,
where the model is in the cache.  The first rounds are dropped; medians with quartiles,
and the ratio is the median of the rounds' ratios.  "runtime" is the exported model, without torch and
scikit-learn, on ONNX Runtime or on cv2.dnn; "estimator" is the model as Python has it (torch), for those
that cannot be exported.  With --int8 the exported networks run a second time with their convolutions in
8 bits, calibrated on pictures of the training part.  With --judge each of them, the base apart, is also
asked about every object of the evaluated part, and its NME is stored beside its time.

Stored beside the whole are two pieces of it, the crop alone and the networks alone; what is left is all other
parts, and what one piece leaves of the cache for the next.

The limit: the multiply-adds of a method's networks at the rate that the same engine reaches in a large
product of matrices, float32 or 8 bits, in the same run.  What is above it is decoding, the crop, and all
parts that are no networks.

examples:
  python benchmarks/landmark_times.py runs/faces ../shared/data/faces68
  python benchmarks/landmark_times.py runs/faces ../shared/data/faces68 --methods dlib,blend --profile blend
  python benchmarks/landmark_times.py runs/faces ../shared/data/faces68 --int8 --judge -o times.json
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np
import onnx
import onnxruntime
import publish_results

from hybridkp import datasets, runtime
from hybridkp.evaluate import file_name, make_crops
from hybridkp.evaluate.int8 import ExportedTree
from hybridkp.files import load_model, read_meta, write_atomic
from hybridkp.files.graphs import open_graph
from hybridkp.files.onnx_check import multiply_adds
from hybridkp.imaging.crops import cut, predict_in_box
from hybridkp.imaging.geometry import crop_matrix
from hybridkp.memory.threads import limit_threads
from hybridkp.metrics.landmarks import nme, normalizer_lengths
from hybridkp.runtime.export import crops_node
from hybridkp.runtime.int8 import in_8_bits, n_networks
from hybridkp.runtime.nodes import planes
from hybridkp.structures import Dataset, InputError

WARM_UP = 5  # rounds
BURST = 4  # calls in a row, of which the last is timed
CALIBRATING = 60  # crops that the ranges of 8 bits are read from
SIDE = 768  # of the product of matrices that the machine's rate is measured by
BITS = "runtime, 8 bits"
Call = Callable[[Any, Any], Any]  #: picture and box to points


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """Each model's method; behind it the first word of a file that is not named as a bench names it."""
    out: dict[Path, str] = {}
    for path in paths:
        stem = path.stem.rsplit("-", 1)[0]
        name = str(read_meta(path).get("method", stem))
        out[path] = name if stem == file_name(name) else f"{name} ({stem.split('-')[0]})"
    return out


def contenders(paths: Sequence[Path], folder: Path, engines: Sequence[str]) -> dict[tuple[str, str], Call]:
    """(method, how it runs) -> call."""
    out: dict[tuple[str, str], Call] = {}
    names = names_of(paths)
    for path in paths:
        model, meta, name = load_model(path), read_meta(path), names[path]
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


Trees = dict[str, tuple[dict[str, Any], Path]]  #: method -> what is exported, and whose file it comes from


def trees(paths: Sequence[Path], some: Dataset | None = None) -> Trees:
    """Of all models that can be exported; with ``some`` pictures of their networks in 8 bits."""
    out: Trees = {}
    for path, name in names_of(paths).items():
        model, meta = load_model(path), read_meta(path)
        try:
            tree = crops_node(model)
        except InputError:
            continue
        if some is None:
            out[name] = tree, path
        elif n_networks(tree):
            crops = make_crops(some, tuple(model.size_hw_), float(meta["margin"])).images
            out[name] = in_8_bits(tree, crops), path
    return out


def detectors(found: Trees, folder: Path) -> dict[tuple[str, str], Call]:
    """The trees in 8 bits as an application has them."""
    out: dict[tuple[str, str], Call] = {}
    for name, (tree, path) in found.items():
        small, file = ExportedTree(tree, load_model(path).size_hw_), folder / f"8-{len(out)}.hkr"
        exported = runtime.export_runtime(small, file, read_meta(path))
        out[name, BITS] = runtime.load(exported, "onnxruntime").detect
    return out


def pieces(found: Trees, how: str) -> dict[tuple[str, str], Call]:
    """(method, piece) -> call: its crop alone, and its networks alone, with the conversion of their crop."""
    out: dict[tuple[str, str], Call] = {}
    for name, (tree, path) in found.items():
        size, margin, nets = tuple(load_model(path).size_hw_), float(read_meta(path)["margin"]), []
        for graph in graphs(tree):
            declared = onnx.load_from_string(graph).graph
            shape = [d.dim_value for d in declared.input[0].type.tensor_type.shape.dim]
            outputs = [o.name for o in declared.output]
            crop = np.zeros((*shape[2:], 3), np.uint8)
            nets.append((open_graph(graph, "onnxruntime", ["image"], outputs), crop, shape[1]))
        if nets:
            out[name, f"{how}: crop"] = partial(_cut, size=size, margin=margin)
            out[name, f"{how}: networks"] = partial(_ask, nets)
    return out


def _cut(image: Any, box: Any, size: tuple[int, int], margin: float) -> Any:
    return cut(image, crop_matrix(box, size, margin), size)


def _ask(nets: Sequence[Any], image: Any, box: Any) -> Any:
    return [ask(planes(crop, channels)) for ask, crop, channels in nets]


def graphs(node: Any) -> Iterator[bytes]:
    """Every network of an exported tree."""
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(value, bytes):
            yield value
        else:
            yield from graphs(value)


def costs(plain: Trees, small: Trees) -> dict[tuple[str, bool], dict[str, float]]:
    """(method, in 8 bits) -> bytes of its networks and, for one object, their multiply-adds."""
    out = {}
    for name, (tree, _) in plain.items():
        count = round(sum(multiply_adds(graph) for graph in graphs(tree)))
        for quick, found in ((False, tree), (True, small.get(name, ({}, None))[0])):
            n_bytes = sum(len(graph) for graph in graphs(found))
            if count and n_bytes:
                out[name, quick] = {"multiply_adds": count, "bytes": n_bytes}
    return out


def machine_rates() -> dict[str, float]:
    """Multiply-adds a second of ONNX Runtime in one thread, in a large product: in float32, and in 8 bits."""
    rng, out = np.random.default_rng(0), {}
    for name, op, kinds in (
        ("float32", "MatMul", (np.float32, np.float32, np.float32)),
        ("8 bits", "MatMulInteger", (np.uint8, np.int8, np.int32)),
    ):
        a, c = (
            onnx.helper.make_tensor_value_info(
                n, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [SIDE] * 2
            )
            for n, kind in (("a", kinds[0]), ("c", kinds[2]))
        )
        right = onnx.numpy_helper.from_array(rng.integers(-9, 9, (SIDE, SIDE)).astype(kinds[1]), "b")
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["a", "b"], ["c"])], name, [a], [c], [right]
        )
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(made.SerializeToString(), options)
        left, seconds = {"a": rng.integers(0, 9, (SIDE, SIDE)).astype(kinds[0])}, []
        for _ in range(20):
            start = time.process_time()
            session.run(None, left)
            seconds.append(time.process_time() - start)
        out[name] = SIDE**3 / float(np.median(seconds))
    return out


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


def judge(call: Call, data: Dataset, crops: Any) -> Any:
    """(B,) NME in % of every object that can be judged, asked for in its box."""
    objects = [data.samples[s].instances[i] for s, i in zip(crops.sample, crops.instance, strict=True)]
    pictures = (data.samples[s].image for s in crops.sample)
    found = [call(image, box) for image, box in zip(pictures, crops.boxes, strict=True)]
    xy = np.stack([np.asarray(getattr(points, "xy", points)) for points in found])
    truth = np.stack([o.xy for o in objects])
    return 100 * nme(truth, xy, normalizer_lengths(truth, data.normalizer, crops.boxes))


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
        plain, small = trees(paths), {}
        parts = pieces(plain, "runtime, onnxruntime") if "onnxruntime" in args.engines else {}
        if args.int8:
            some = datasets.thin(datasets.load_dataset(args.data, "train"), CALIBRATING)
            small = trees(paths, some)
            calls |= detectors(small, Path(folder))
            parts |= pieces(small, BITS)
        took, rates = measure(calls | parts, objects, args.rounds), machine_rates()
        found = rows_of({name: took[name] for name in calls}, args.base, costs(plain, small), rates)
        for row in found:
            for piece in ("crop", "networks"):
                if (row["method"], f"{row['how']}: {piece}") in took:
                    row[f"{piece}_ms"] = _quarters(took[row["method"], f"{row['how']}: {piece}"])
        for row in found if args.judge else ():
            if row["method"] != args.base:
                errors = judge(calls[row["method"], row["how"]], data, crops)
                row["values"] = publish_results.rounded(errors)
                print(row["method"], row["how"], f"NME {np.nanmean(errors):.3f} %", flush=True)
        lines = [
            [f"`{r['method']}`", r["how"], *(spread(r[key]) for key in ("ms", "ratio")), limit_words(r)]
            for r in found
        ]
        headings = ["method", "runs as", "ms / object", f"/ {args.base}", "limit, ms"]
        print(sets.markdown(headings, lines), flush=True)
        for (name, how), call in calls.items():
            if name == args.profile and "cv2" not in how:
                profile(call, objects)
    if args.publish:
        about = {
            "data": Path(args.data).name,
            "objects": len(objects),
            "rounds": args.rounds,
            "judged": len(crops) if args.judge else 0,
            "base": args.base,
            "machine": args.machine,
            "note": args.note,
            "onnxruntime": onnxruntime.__version__,
            "opencv": cv2.__version__,
            "date": str(date.today()),
            "multiply_adds_per_second": {name: round(rate) for name, rate in rates.items()},
        }
        groups = publish_results.codes(np.asarray(crops.groups))
        write_atomic(args.publish, json.dumps({"provenance": about, "groups": groups, "rows": found}) + "\n")


def rows_of(took: dict[Any, Any], base: str, cost: dict[Any, Any], rates: dict[str, float]) -> list[Any]:
    """What was measured, the quickest first, ready to be stored."""
    basis = next((took[name] for name in took if name[0] == base), None)
    rows = []
    for (name, how), values in sorted(took.items(), key=lambda item: float(np.median(item[1]))):
        ratio = [] if basis is None else values / np.maximum(basis, 1e-6)
        row: dict[str, Any] = {"method": name, "how": how, "ms": _quarters(values), "ratio": _quarters(ratio)}
        if (name, how == BITS) in cost:
            row |= cost[name, how == BITS]
            rate = rates["8 bits" if how == BITS else "float32"]
            row["limit_ms"] = round(1e3 * row["multiply_adds"] / rate, 3)
        rows.append(row)
    return rows


def _quarters(values: Any) -> list[float]:
    """Lower quartile, median, upper quartile; nothing of nothing."""
    return [round(float(v), 3) for v in np.percentile(values, [25, 50, 75])] if len(values) else []


def spread(quarters: Sequence[float]) -> str:
    return "–" if not quarters else f"{quarters[1]:.2f} ({quarters[0]:.2f}-{quarters[2]:.2f})"


def limit_words(row: dict[str, Any]) -> str:
    return f"{row['limit_ms']:.2f}" if "limit_ms" in row else "–"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = sets.parser(__doc__, publish=True)
    parser.add_argument("out", type=Path, help="folder of a bench, with its models")
    parser.add_argument("data", help="the data set whose val part gives pictures and boxes")
    parser.add_argument("--methods", type=sets.names_of, help="default: all")
    parser.add_argument("--base", default="dlib", help="ratios to this one (default: %(default)s)")
    parser.add_argument("--engines", type=sets.names_of, default=["onnxruntime", "cv2.dnn"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--int8", action="store_true", help="exported networks in 8 bits too")
    parser.add_argument("--judge", action="store_true", help="the error of each on the whole val part too")
    parser.add_argument("--note", default="", help="what else is to be known of the models, to publish")
    parser.add_argument("--profile", help="also show where the time of this method goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
