"""Are OKS constants recovered, from labels made twice and from detectors' residuals?

    python benchmarks/label_sigmas.py -o docs/results/label_sigmas.json

``faces``: drawn faces whose exact labels are scattered by known sigmas, from 0.01 to 0.06 of the object's
scale.
``ceph_two``: X-rays that two doctors labelled; what their difference says stands for the truth.
``doctors``: the same X-rays, judged on val: how far methods are from the first doctor, landmark by landmark,
and how far the second one is.
A part that the file holds already is not computed again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import memory
from hybridkp.datasets import load_dataset, make_faces
from hybridkp.evaluate import make_crops
from hybridkp.labels import own_second, paired, sigmas_from_pairs, sigmas_from_residuals
from hybridkp.recipes import make_method
from hybridkp.structures import Array, Dataset, InputError

LOW, HIGH = 0.01, 0.06  #: planted sigmas
SEED = 31
HEIGHT = 600  #: px, to which distances on X-rays are scaled


def scattered(dataset: Dataset, sigmas: Array, seed: int) -> Dataset:
    """Labels as an annotator of these sigmas would place them."""
    rng, samples = np.random.default_rng(seed), []
    for sample in dataset:
        one = sample.instances[0]
        noise = rng.normal(size=one.xy.shape) * sigmas[:, None] * np.sqrt(one.area / 2)
        samples.append(replace(sample, instances=(replace(one, xy=one.xy + noise),)))
    return replace(dataset, samples=tuple(samples))


def faces(n: int, crop: int, methods: Sequence[str]) -> dict[str, Any]:
    exact = make_faces(n, random_state=SEED)
    rng = np.random.default_rng(SEED)
    true = np.exp(rng.uniform(np.log(LOW), np.log(HIGH), len(exact.landmarks)))
    once, again = (scattered(exact, true, SEED + 1 + i) for i in range(2))
    return compared(once, again, crop, methods, true)


def ceph_two(_: int, crop: int, methods: Sequence[str]) -> dict[str, Any]:
    once = load_dataset(sets.data_root() / "ceph_two")
    again = own_second(once)
    assert again is not None, "two doctors labelled it"
    return compared(once, again, crop, methods, None)


def doctors(_: int, crop: int, methods: Sequence[str]) -> dict[str, Any]:
    parts = [load_dataset(sets.data_root() / "ceph_two", part) for part in ("train", "val")]
    train, val = (make_crops(part, (crop, crop)) for part in parts)
    data = parts[1]
    samples = [data.samples[i] for i in val.sample]
    px = np.array([HEIGHT / s.size_hw[0] for s in samples if s.size_hw])[:, None]
    first = np.stack([s.instances[0].xy for s in samples])
    said = {"second doctor": np.stack([s.instances[0].second_xy for s in samples])}
    start = time.process_time()
    for name in [*methods, f"vote({','.join(methods)})"]:
        model = memory.fitted(make_method(name), train.images, train.xy, groups=train.groups)
        said[name] = val.to_picture(model.predict(val.images))
    apart = {name: np.linalg.norm(xy - first, axis=2) * px for name, xy in said.items()}
    return {
        "objects": len(val),
        "learned": len(train),
        "crop": crop,
        "cpu_seconds": round(time.process_time() - start),
        "landmarks": list(data.landmarks),
        "apart": {name: np.round(np.nanmean(off, axis=0), 3).tolist() for name, off in apart.items()},
    }


def compared(
    once: Dataset, again: Dataset, crop: int, methods: Sequence[str], true: Array | None
) -> dict[str, Any]:
    """Both routes; the truth is what was planted, or what labels made twice say."""
    twice = sigmas_from_pairs(*paired(once, again))
    start = time.process_time()
    residuals = sigmas_from_residuals(
        once, {name: make_method(name) for name in methods}, size_hw=(crop, crop)
    )
    return {
        "objects": len(once),
        "crop": crop,
        "cpu_seconds": round(time.process_time() - start),
        "planted": None if true is None else np.round(true, 5).tolist(),
        "twice": np.round(twice.value, 5).tolist(),
        "residuals": np.round(residuals.value, 5).tolist(),
        "landmarks": list(once.landmarks),
    }


PARTS = {"faces": faces, "ceph_two": ceph_two, "doctors": doctors}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--parts", type=sets.names_of, default=list(PARTS), help="default: all")
    parser.add_argument("--methods", type=sets.names_of, default=["sdm", "lbf"], help="two; default: sdm,lbf")
    parser.add_argument("--faces", type=int, default=240, help="default: %(default)s")
    parser.add_argument("--crop", type=int, default=256, help="px; default: %(default)s")
    parser.add_argument("-o", "--out", type=Path, help="JSON to add to")
    parser.add_argument("--quick", action="store_true", help="tiny, classical methods")
    args = parser.parse_args(arguments)
    if args.quick:
        args.parts, args.faces, args.crop, args.methods = ["faces"], 40, 48, ["hog+ridge", "mean-shape"]
    document = sets.kept(args.out, {"parts": {}})
    for part in args.parts:
        if part not in PARTS:
            raise InputError(f"no part {part!r}: {', '.join(PARTS)}")
        if part not in document["parts"]:
            document["parts"][part] = PARTS[part](args.faces, args.crop, args.methods)
            sets.keep(args.out, document)
        row = document["parts"][part]
        if part == "doctors":
            print({name: round(float(np.mean(values)), 2) for name, values in row["apart"].items()})
            continue
        truth = np.array(row["planted"] or row["twice"])
        for route in ("twice", "residuals"):
            ratio = np.array(row[route]) / truth
            print(f"{part}, {route}: {np.exp(np.mean(np.log(ratio))):.2f} times the truth", flush=True)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
