"""Memory and time against the number of objects: cutting crops, training, checking annotations.

    python benchmarks/large_data.py -o docs/results/large_data.json
    python benchmarks/large_data.py --quick

500 drawn faces of 160 px, each taken again and again with another box, so that every crop (128 px, in
colour) differs; the annotations to be checked are random, with a picture of its own for every two.  Each
measurement runs in a process of its own, on one thread; what is in the file already is not measured again.
Times are of the processor, so that others' work on the machine counts little; memory is the largest resident
size of the process, with interpreter and libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridkp.datasets import check_dataset, load_dataset, make_faces
from hybridkp.datasets.lookup import loader
from hybridkp.deep import DirectNet
from hybridkp.evaluate import make_crops
from hybridkp.evaluate.worker import fit
from hybridkp.files import write_atomic
from hybridkp.landmarks import FastCascade, HolisticRegressor, HoughForest, MeanShape, PatchDetector
from hybridkp.memory import budget
from hybridkp.memory.resident import load_per_core, peak_bytes, reset_peak
from hybridkp.memory.threads import FIT_THREADS, limit_threads
from hybridkp.structures import Dataset

FACES = 500  #: drawn ones
OBJECTS = (5_000, 20_000, 150_000)
ANNOTATIONS = (25_000, 50_000, 100_000, 200_000)
#: small settings of each kind of method: one epoch of a network, one level or stage of a search
METHODS: dict[str, Callable[[], Any]] = {
    "network (one epoch)": lambda: DirectNet(
        32, schedule=DirectNet.default_schedule(max_epochs=1, epoch_pictures=8)
    ),
    "cascade (one stage)": lambda: FastCascade(scales=(0.5,), n_perturbations=0, start=MeanShape()),
    "ridge on HOG": HolisticRegressor,
    "HOG + SVM (one level)": lambda: PatchDetector(scales=(0.5,), radii=(8,), start=MeanShape()),
    "voting forest (one level)": lambda: HoughForest(scales=(0.5,), start=MeanShape()),
}


def many_faces(n: int, folder: Path, faces: int = FACES) -> Dataset:
    """``n`` objects in ``n`` groups, from ``faces`` pictures that are drawn where they are not there yet."""
    drawn = make_faces(min(n, faces), (160, 160))
    loads, samples = [], []
    for i, sample in enumerate(drawn):
        path = folder / "faces" / f"{i:04}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), sample.image)
        loads.append(loader(path))
    rng = np.random.default_rng(0)
    for i in range(n):
        sample = drawn.samples[i % len(drawn)]
        instance = sample.instances[0]
        box = instance.box_xywh + rng.normal(0, 0.03, 4) * instance.box_xywh[2:].repeat(2)
        own = replace(instance, box_xywh=box)
        samples.append(
            replace(sample, name=f"{i:06}", group=f"{i:06}", load=loads[i % len(drawn)], instances=(own,))
        )
    return replace(drawn, samples=tuple(samples), name=f"{n} faces")


def write_annotations(n: int, folder: Path) -> Path:
    """A COCO file of ``n`` people of 17 random points, two in each picture."""
    rng, images, annotations = np.random.default_rng(0), [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i in range(n // 2):
        path = folder / "images" / f"{i:06}.jpg"
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        if not path.exists():
            cv2.imwrite(str(path), cv2.resize(pixels, (96, 72), interpolation=cv2.INTER_CUBIC))
        images.append({"id": i, "file_name": path.name, "width": 96, "height": 72})
        for xy in rng.uniform(0, 1, (2, 17, 2)) * [40, 35] + rng.uniform(2, [50, 30], (2, 1, 2)):
            points = np.column_stack([xy.round(2), np.full(17, 2)]).ravel().tolist()
            box = [*(xy.min(0) - 2).round(2).tolist(), *(np.ptp(xy, axis=0) + 4).round(2).tolist()]
            facts = {"keypoints": points, "num_keypoints": 17, "bbox": box, "area": box[2] * box[3] / 2}
            annotations.append(
                {"id": len(annotations), "image_id": i, "category_id": 1, "iscrowd": 0, **facts}
            )
    names = [f"point {k}" for k in range(17)]
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
    path = folder / f"{n}.json"
    document = {"images": images, "annotations": annotations, "categories": [category]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


class Watch:
    """Processor seconds and the largest resident size of the body, in MB."""

    def __enter__(self) -> Watch:
        reset_peak()
        self.start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.megabytes = time.process_time() - self.start, peak_bytes() / 1e6

    def per(self, n: int) -> dict[str, float]:
        return {"ms_each": round(1000 * self.seconds / n, 3), "peak_mb": round(self.megabytes)}


def measure_crops(n: int, folder: Path, faces: int) -> dict[str, Any]:
    dataset = many_faces(n, folder, faces)
    with Watch() as watch:
        crops = make_crops(dataset, folder=folder)
    size = crops.images.nbytes / 1e9
    return {**watch.per(n), "on_disk": not isinstance(crops.images, np.ndarray), "gigabytes": round(size, 2)}


def measure_fit(method: str, n: int, folder: Path, faces: int) -> dict[str, Any]:
    crops = make_crops(many_faces(n, folder, faces), folder=folder)
    with warnings.catch_warnings(record=True) as told, Watch() as watch:
        warnings.simplefilter("always")
        model = fit(METHODS[method](), crops.batch, crops.xy, crops.groups, crops.flip)
    sampled = getattr(model, "learned_from_", n)
    found = model.predict(np.asarray(crops.images[:100]))
    error = float(np.nanmean(np.linalg.norm(found - crops.xy[:100], axis=-1)))
    return {**watch.per(n), "taught": min(sampled, n), "error_px": round(error, 2), "said": len(told)}


def measure_check(n: int, folder: Path) -> dict[str, Any]:
    path = write_annotations(n, folder / "annotations")
    with Watch() as watch:
        load_dataset(path)
    out = {"load_s": round(watch.seconds, 2), "load_mb": round(watch.megabytes)}
    with Watch() as watch:
        check_dataset(path)
    return {**out, "seconds": round(watch.seconds, 2), **watch.per(n)}


def measure(what: str, n: int, folder: Path, faces: int) -> dict[str, Any]:
    """One measurement, in this process."""
    if what in ("crops", "check"):
        return measure_crops(n, folder, faces) if what == "crops" else measure_check(n, folder)
    return measure_fit(what, n, folder, faces)


def apart(what: str, n: int, folder: Path, faces: int) -> dict[str, Any]:
    """The same in a fresh process, whose memory is its own."""
    command = [sys.executable, __file__, "--one", what, str(n), "--work", str(folder), "--faces", str(faces)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(FIT_THREADS))
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, **threads})
    row: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return {"what": what, "n": n, **row, "load": round(load_per_core(), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="JSON file, which is added to")
    parser.add_argument("--quick", action="store_true", help="a few dozen objects and a budget of 2 MiB")
    parser.add_argument("--only", help="one of crops, check, or a method")
    parser.add_argument("--most", type=int, help="leave out what has more objects")
    parser.add_argument("--work", type=Path, help="folder for pictures and crops (8 GB); default: temporary")
    parser.add_argument("--faces", type=int, default=FACES, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "N"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        with limit_threads(FIT_THREADS):
            print(json.dumps(measure(args.one[0], int(args.one[1]), args.work, args.faces)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        if args.quick:
            quick(work)
            return
        tasks = [("check", n) for n in ANNOTATIONS]
        tasks += [(what, n) for n in OBJECTS for what in ("crops", *METHODS)]
        rows = (
            json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.out and args.out.exists() else []
        )
        for what, n in tasks:
            there = any((row["what"], row["n"]) == (what, n) for row in rows)
            if there or args.only not in (None, what) or (args.most and n > args.most):
                continue
            rows.append(apart(what, n, work, args.faces))
            print(rows[-1], flush=True)
            facts = {"budget_mb": budget.ROW_BYTES // 2**20, "faces": args.faces}
            facts |= {
                "machine": f"{platform.system()} {platform.machine()}",
                "date": time.strftime("%Y-%m-%d"),
            }
            if args.out:
                write_atomic(args.out, json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def quick(work: Path) -> None:
    """Every measurement once, in this process."""
    budget.ROW_BYTES = 2 * 2**20
    for what in ("crops", *METHODS):
        print(what, measure(what, 60, work, 20))
    print("check", measure("check", 60, work, 20))


if __name__ == "__main__":
    main()
