"""Are two faces one person?  What alignment by landmarks is worth to recognition, on procedural identities.

Every picture becomes a crop of 112 px: the box alone, or aligned by five points, the detector's or the true
ones.  A crop becomes a row (histograms of oriented gradients, less the mean row of the faces that the
detector learned from), two rows a cosine.  All pairs of pictures are judged; intervals draw identities anew.
The box's margin is chosen on other identities.  With ``--recogniser`` OpenCV's FaceRecognizerSF makes the
rows, from a file that you have.

examples:
  python benchmarks/verification.py --out runs/verification --results docs/results
  python benchmarks/verification.py --out runs/sface --recogniser face_recognition_sface_2021dec.onnx
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, recipes
from hybridkp.datasets import make_faces
from hybridkp.detection import BoxesGiven, TopDown
from hybridkp.files import load_model
from hybridkp.imaging import align, crop_matrix, cut
from hybridkp.structures import Array, Dataset, InputError, Problem

SIDE = 112
MARGINS = (1.0, 1.15, 1.3, 1.5)  #: crop side / box side, tried on other identities
BINS = 2000  #: of cosines from -1 to 1
RESAMPLES = 1000
FPR = 1e-2
Rows = Callable[[Array], Array]


def identities(people: int, each: int, seed: int) -> Dataset:
    """People who keep shape and skin over pose, expression, light, blur and noise; nothing hides them."""
    return make_faces(
        people * each,
        (192, 192),
        seed,
        occlusion=0,
        background="real-val",
        pictures_per_person=each,
        lasting_skin=True,
    )


def hog_rows() -> Rows:
    made = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9, 1, -1, 0, 0.2, False)
    return lambda crop: made.compute(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)).ravel()


def network_rows(file: Path) -> Rows:
    if not file.is_file():
        raise InputError(f"{file}: no such file; FaceRecognizerSF's network has to be yours")
    net = cv2.FaceRecognizerSF.create(str(file), "")
    return lambda crop: net.feature(crop).ravel().copy()


def fitted(method: str, train: Dataset, folder: Path, quick: bool) -> Any:
    path = folder / f"{evaluate.file_name(method)}.hkp"
    if not path.is_file():
        problem = Problem(train, train, (96, 96))
        evaluate.train(recipes.make_method(method, quick=quick), problem, path, name=method)
    return load_model(path)


def crops_of(data: Dataset, how: str, model: Any) -> list[Array]:
    """A crop of each picture: by "truth", "predicted" points, or by its box with a margin."""
    out = []
    for sample in data:
        one, image = sample.instances[0], sample.image
        if how == "truth":
            out.append(align(image, one.xy, landmarks=data.landmarks))
        elif how == "predicted":
            found = TopDown(BoxesGiven(), model).in_box(image, one.box_xywh)
            out.append(align(image, found.xy, landmarks=data.landmarks))
        else:
            matrix = crop_matrix(one.box_xywh, (SIDE, SIDE), float(how))
            out.append(cut(image, matrix, (SIDE, SIDE)))
    return out


def drawn(data: Dataset) -> Dataset:
    """The same with its pictures in memory."""
    samples = [replace(s, load=partial(np.asarray, s.image)) for s in data]
    return replace(data, samples=tuple(samples))


class Judged:
    """Cosines of all pairs as histograms: of each person, and of each two people."""

    def __init__(self, rows: Array, person: Array) -> None:
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        cosine = np.clip((unit @ unit.T + 1) / 2 * BINS, 0, BINS - 1).astype(int)
        i, j = np.triu_indices(len(rows), 1)
        names, own = np.unique(person, return_inverse=True)
        n = len(names)
        a, b = np.minimum(own[i], own[j]), np.maximum(own[i], own[j])
        cell = (a * n + b) * BINS + cosine[i, j]
        table = np.bincount(cell, minlength=n * n * BINS).reshape(n, n, BINS)
        self.same, self.n = table[np.arange(n), np.arange(n)].astype(np.float32), n
        self.one, self.other = np.triu_indices(n, 1)
        self.apart = table[self.one, self.other].astype(np.float32)

    def figures(self, weight: Array) -> dict[str, Array]:
        """Figures (R,) for weights (R, n) of the people, in percent."""
        same = weight @ self.same
        apart = np.concatenate(
            [(w[:, self.one] * w[:, self.other]) @ self.apart for w in np.array_split(weight, 20) if len(w)]
        )
        tpr = np.cumsum(same[:, ::-1], 1) / same.sum(1, keepdims=True)
        fpr = np.cumsum(apart[:, ::-1], 1) / apart.sum(1, keepdims=True)
        zero = np.zeros((len(tpr), 1))
        tpr, fpr = np.hstack([zero, tpr]), np.hstack([zero, fpr])
        auc = ((tpr[:, 1:] + tpr[:, :-1]) / 2 * np.diff(fpr, axis=1)).sum(1)
        at = np.array([np.interp(FPR, f, t) for f, t in zip(fpr, tpr, strict=True)])
        worst = np.abs(fpr - (1 - tpr)).argmin(1)
        eer = ((fpr + 1 - tpr) / 2)[np.arange(len(tpr)), worst]
        return {"auc": 100 * auc, "tpr": 100 * at, "eer": 100 * eer}


def row_of(how: str, found: Judged, first: Judged | None, draws: Array) -> dict[str, Any]:
    """Figures with their intervals, and the paired difference to the first way."""
    ones, row = np.ones((1, found.n)), {"how": how}
    value, drawn = found.figures(ones), found.figures(draws)
    for key in value:
        low, high = np.percentile(drawn[key], [2.5, 97.5])
        row[key] = [round(float(v), 3) for v in (value[key][0], low, high)]
    if first is not None:
        before, then = first.figures(ones), first.figures(draws)
        for key in value:
            low, high = np.percentile(drawn[key] - then[key], [2.5, 97.5])
            gain = float(value[key][0] - before[key][0])
            row[f"{key}_gain"] = [round(float(v), 3) for v in (gain, low, high)]
    return row


def judged(args: argparse.Namespace) -> dict[str, Any]:
    people, each, n_train = (8, 3, 24) if args.quick else (80, 6, 400)
    train = drawn(make_faces(n_train, (192, 192), 7, background="real-train"))
    model = fitted(args.method, train, args.out, args.quick)
    rows_of = network_rows(args.recogniser) if args.recogniser else hog_rows()
    data, others = (
        drawn(identities(n, each, seed)) for n, seed in ((people, 1001), (max(people // 4, 4), 1002))
    )

    def rows(dataset: Dataset, how: str) -> Array:
        return np.stack([rows_of(crop) for crop in crops_of(dataset, how, model)])

    def centred(how: str, dataset: Dataset) -> Judged:
        mean = 0 if args.recogniser else rows(train, how).mean(0)
        return Judged(rows(dataset, how) - mean, np.array(dataset.groups))

    ones = np.ones((1, len(set(others.groups))))
    tried = {m: float(centred(str(m), others).figures(ones)["auc"][0]) for m in MARGINS}
    best = max(tried, key=lambda m: tried[m])
    draws = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), RESAMPLES).astype(float)
    ways = {how: centred(how, data) for how in (str(best), "predicted", "truth")}
    first = ways[str(best)]
    table = [row_of("box", first, None, draws)]
    table += [row_of(how, ways[how], first, draws) for how in ("predicted", "truth")]
    facts = {"people": people, "pictures": len(data), "method": args.method, "margin": best}
    facts |= {"rows": "FaceRecognizerSF" if args.recogniser else "HOG", "fit": f"{n_train} faces"}
    return {
        "task": "verification",
        "data": "procedural identities",
        "provenance": sets.now(**facts, command="python benchmarks/verification.py"),
        "margins": tried,
        "rows": table,
    }


def main(argv: list[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the detector")
    parser.add_argument("--results", type=Path, help="folder for verification.json, for the docs")
    parser.add_argument("--method", default="sdm-fast", help="the detector (default sdm-fast)")
    parser.add_argument("--recogniser", type=Path, metavar="ONNX", help="rows by OpenCV's FaceRecognizerSF")
    parser.add_argument("--quick", action="store_true", help="eight people: does it run")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    document = judged(args)
    for row in document["rows"]:
        print(row)
    sets.publish(args.results, "verification", document)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
