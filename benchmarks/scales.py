"""Does multi-scale pay where sizes differ?  Drawn faces of 16 to 200 px in one set, networks and classical.

Each picture shows one face, of any size from 16 to 200 px, over a real background; train and val share no
background.  Two sets of the same pictures are written, as COCO folders:

``windows``  what is cropped is a window around the face, from one that it fills to the whole picture: in the
             crop the face has any size and place.  For networks (``networks.py``).
``boxed``    what is cropped is the face: in the crop all have one size, and more or less detail.  For the
             classical methods, ``descriptor+classifier``, whose search has one resolution here, so that
             the levels are the descriptor's doing alone.

Part ``again`` is for what was chosen by a look at ``windows``: three seeds, judged on other pictures.

Part ``classical``: one level against three, fused by concatenation, average, learned weights (the factor from
level to level that does best on folds of the training part), product, and concatenation with principal
components in between.  *ms* is processor time in one thread from crop to points, as a ratio to ``hog+svm``:
the median of rounds in which both take turns.

examples:
  python benchmarks/scales.py --part windows --seconds 40 -o docs/results/scales_windows.json
  python benchmarks/scales.py --part windows --input-px 128 --methods "heatmap,pyramid[levels=5]" --seconds 80
  python benchmarks/scales.py --part again --methods "heatmap,pyramid[levels=2,width=32]"
  python benchmarks/scales.py --part classical -o docs/results/scales_classical.json
  python benchmarks/scales.py --quick
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import networks
import numpy as np
import publish_results

from hybridkp import evaluate, recipes
from hybridkp.datasets import make_scenes, write_coco
from hybridkp.evaluate import make_crops
from hybridkp.imaging.geometry import apply_affine, points_box, resize_matrix, warp
from hybridkp.memory.threads import limit_threads
from hybridkp.metrics import metrics_for
from hybridkp.structures import MARGIN, Array, Dataset, Problem

SIDE = 360  #: px of the pictures before they are made smaller: faces have up to 198
SHRINK = 2.7  #: at most
METHODS = (
    *("heatmap", "pyramid[fusion=single]", "pyramid[levels=2]", "pyramid", "pyramid[levels=4]"),
    "pyramid[shared=false]",
)
DESCRIPTORS = ("sift", "surf-upright", "hog", "orb")
CLASSIFIERS = ("svm", "forest")
#: one resolution of the search, and no second look at hard places
ONE_SCALE = {"scales": (1.0,), "radii": (3,), "n_hard": 0}
FALLOFFS = [0.5, 2.0]  #: and 1
LEVELS = "multi-level[descriptor={},fusion={}]"


# --------------------------------------------------------------------------------------------
# the two sets
# --------------------------------------------------------------------------------------------


def drawn(n: int, split: str, seed: int) -> Iterator[tuple[Array, Any, Array]]:
    """Pictures, samples with points and faces' boxes in them, and windows (x, y, side) around the faces."""
    rng = np.random.default_rng([seed, 7])
    scenes = make_scenes(3 * n + 20, (SIDE, SIDE), seed, max_faces=1, background=f"real-{split}")
    faces = [sample for sample in scenes if sample.instances][:n]
    for i, sample in enumerate(faces):
        side = round(SIDE / np.exp(rng.uniform(0, np.log(SHRINK))))
        matrix = resize_matrix((side / SIDE, side / SIDE))
        xy = apply_affine(matrix, sample.instances[0].xy)
        box = points_box(xy)
        long = 1.04 * box[2:].max()
        window = np.exp(rng.uniform(np.log(long), np.log(max(long, side))))
        low = np.maximum(box[:2] + box[2:] - window, -0.5)  # it holds the face and stays in the picture
        high = np.minimum(box[:2], side - 0.5 - window)
        corner = np.where(high > low, rng.uniform(low, np.maximum(high, low)), (low + high) / 2)
        instance = replace(sample.instances[0], xy=xy, box_xywh=box, area=float(box[2] * box[3]))
        moved = replace(
            sample, name=f"{split}{i:04d}.png", size_hw=(side, side), instances=(instance,), modalities={}
        )
        yield warp(sample.image, matrix, (side, side)), moved, np.array([*corner, window])


def write_sets(folder: Path, n_train: int, n_val: int, val_seed: int = 2) -> None:
    """``windows`` and ``boxed`` in a folder, unless they are there."""
    for split, n, seed in (("train", n_train, 1), ("val", n_val, val_seed)):
        if (folder / "boxed" / f"{split}.json").exists():
            continue
        boxed, windows = [], []
        for name in ("windows", "boxed"):
            (folder / name / "images").mkdir(parents=True, exist_ok=True)
        for image, sample, (x, y, side) in drawn(n, split, seed):
            for name in ("windows", "boxed"):
                cv2.imwrite(str(folder / name / "images" / sample.name), image)
            inner = side / MARGIN  # the window is what is cropped, margin and all
            box = [x + (side - inner) / 2, y + (side - inner) / 2, inner, inner]
            boxed.append(sample)
            windows.append(replace(sample, instances=(replace(sample.instances[0], box_xywh=np.array(box)),)))
        about = make_scenes(1)
        for name, samples in (("windows", windows), ("boxed", boxed)):
            found: Dataset = replace(about, name=name, samples=tuple(samples))
            write_coco(found, folder / name / f"{split}.json")


# --------------------------------------------------------------------------------------------
# the classical side
# --------------------------------------------------------------------------------------------


def contenders(descriptors: Sequence[str], classifiers: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Expression -> descriptor, classifier, and how the levels are fused."""
    out = {}
    for c, d in itertools.product(classifiers, descriptors):
        out[f"{d}+{c}"] = (d, c, "one level")
        for fusion in ("concat", "average", "product"):
            out[f"{LEVELS.format(d, fusion)}+{c}"] = (d, c, fusion)
        out[f"{LEVELS.format(d, 'concat')}+pca+{c}"] = (d, c, "concat, pca")
    return out


def made(expression: str) -> Any:
    return recipes.with_parameters(recipes.make_method(expression), ONE_SCALE)


def learned(problem: Problem, d: str, c: str, out: Path) -> str:
    """The weighted average's expression: the factor from level to level that does best on folds."""
    name = f"{LEVELS.format(d, 'average')}+{c}"
    space = {"descriptor__falloff": FALLOFFS}
    trials = evaluate.tune(made(name), space, problem, out=out, n_trials=1 + len(FALLOFFS), cv=2)
    falloff = evaluate.best_trial(trials).params.get("descriptor__falloff", 1.0)
    return f"multi-level[descriptor={d},falloff={falloff},fusion=average]+{c}"


def slower(model: Any, reference: Any, images: Array) -> float:
    """How many times as long as the reference it takes for a picture: the median of rounds in turns."""
    ratio = []
    for i in range(-2, len(images)):
        took = []
        for one in (reference, model):
            start = time.thread_time()
            one.predict(images[i : i + 1] if i >= 0 else images[:1])
            took.append(time.thread_time() - start)
        ratio += [took[1] / took[0]] if i >= 0 else []
    return round(float(np.median(ratio)), 2)


def classical(problem: Problem, folder: Path, args: argparse.Namespace) -> None:
    """Every fusion of every descriptor under every classifier; what ``-o`` holds is not fitted again."""
    train, val = (make_crops(part, problem.size_hw, problem.margin) for part in (problem.train, problem.val))
    figure = publish_results.figure(metrics_for(problem.train)[0])
    empty = {"figure": figure, "groups": publish_results.codes(np.asarray(val.groups)), "rows": []}
    document = sets.kept(args.publish, empty)
    parts = contenders(DESCRIPTORS, CLASSIFIERS)
    names = dict([*parts.items()][:2]) if args.quick else parts
    for d, c in [] if args.quick else dict.fromkeys((d, c) for d, c, _ in parts.values()):
        names[learned(problem, d, c, folder / f"{d}-{c}")] = (d, c, "weights")
    done = {row["method"] for row in document["rows"]}
    about = {"data": f"{problem.name}, {len(train)} pictures to fit, {len(val)} judged"}
    about |= {
        "machine": args.machine,
        "date": str(date.today()),
        "command": "python benchmarks/scales.py --part classical",
    }

    def fitted(name: str) -> Any:
        return made(name).fit(train.images, train.xy, groups=train.groups, flip=problem.train.flip)

    reference = fitted("hog+svm")
    for name, kind in sorted(names.items(), key=lambda item: item[1][1] != CLASSIFIERS[0]):
        if name in done:
            continue
        model = fitted(name)
        found = sets.errors(problem, val, model.predict(val.images))
        row = dict(zip(("descriptor", "classifier", "fusion"), kind, strict=True), method=name)
        row |= {
            "ms_ratio": slower(model, reference, val.images[:20]),
            "values": publish_results.rounded(found),
        }
        print(f"{name}: {np.nanmean(found):.3f}, ms {row['ms_ratio']}", flush=True)
        sets.add_row(args.publish, document, about, row)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__, publish=True)
    parser.add_argument("--part", choices=("windows", "again", "classical"), default="classical")
    parser.add_argument("--methods", default=",".join(METHODS), help="networks (%(default)s)")
    parser.add_argument("--seconds", default="40", help="processor time to train each network (%(default)s)")
    parser.add_argument("--input-px", default="64", help="side of what networks see (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/scales"), help="folder (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one classical method on few faces")
    args = parser.parse_args(arguments)
    again = args.part == "again"
    folder = (args.out / ("few" if args.quick else "again" if again else "drawn")).resolve()
    write_sets(folder, *((16, 6) if args.quick else (800, 250)), 3 if again else 2)
    if args.part != "classical":
        told = ["--set", str(folder / "windows"), "--methods", args.methods, "--seconds", args.seconds]
        told += ["--input-px", args.input_px, "--seeds", "0,1,2" if again else "0", "--machine", args.machine]
        told += ["--out", str(args.out / f"networks-{folder.name}")]
        told += ["-o", str(args.publish)] if args.publish else []
        pixels = f" --input-px {args.input_px}" if args.input_px != "64" else ""
        networks.main(told, f"python benchmarks/scales.py --part {args.part}{pixels}")
        return
    few = (16, 6) if args.quick else (120, 100)
    problem = sets.load_problem(str(folder / "boxed"), *few, 0)
    with limit_threads(1):
        classical(
            replace(problem, size_hw=(64, 64), name="drawn faces of 16 to 200 px"), args.out / "folds", args
        )


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
