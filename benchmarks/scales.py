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
components in between.  *ms* is processor time in one thread from picture and box to points, as a ratio to
``hog+svm``: the median of rounds in which all take turns.

examples:
  python benchmarks/scales.py --part windows --seconds 40 -o docs/results/scales_windows.json
  python benchmarks/scales.py --part again --methods "heatmap,pyramid[levels=2]"
  python benchmarks/scales.py --part classical -o docs/results/scales_classical.json
  python benchmarks/scales.py --quick
"""

from __future__ import annotations

import argparse
import platform
import sys
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
from hybridkp.evaluate.stored import model_path
from hybridkp.files import write_atomic
from hybridkp.imaging.geometry import apply_affine, points_box, resize_matrix, warp
from hybridkp.structures import MARGIN, Array, Dataset, Problem

SIDE = 360  #: px of the pictures before they are made smaller: faces have up to 198
SHRINK = 2.7  #: at most
METHODS = (
    *("heatmap", "pyramid[fusion=single]", "pyramid[levels=2]", "pyramid", "pyramid[levels=4]"),
    *("pyramid[shared=false]", "pyramid[fusion=convgru]"),
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
    for d in descriptors:
        for c in classifiers:
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


def classical(problem: Problem, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Every fusion of every descriptor under every classifier, published."""
    short = args.quick
    parts = contenders(DESCRIPTORS[2:3] if short else DESCRIPTORS, CLASSIFIERS[:1] if short else CLASSIFIERS)
    if short:
        parts = dict([*parts.items()][:1])
    weighed: dict[tuple[str, str], str] = {}
    for d, c, _ in parts.values():
        if not short and (d, c) not in weighed:
            weighed[d, c] = learned(problem, d, c, folder / "folds" / f"{d}-{c}")
    same = {name: pair for pair, name in weighed.items() if "falloff=1.0" in name}
    methods = {name: made(name) for name in [*parts, *(n for n in weighed.values() if n not in same)]}
    sets.run(methods, problem, folder / "bench")
    published = publish_results.publish(folder / "bench", None, {name: name for name in methods})
    models = {name: model_path(folder / "bench", name, 0) for name in methods}
    ratio = networks.ratios(models, problem, 3 if short else 30, "hog+svm")
    kinds = {recipes.canonical(name): kind for name, kind in parts.items()}
    kinds |= {
        recipes.canonical(name): (d, c, "weights") for (d, c), name in weighed.items() if name in methods
    }
    for row in published["methods"]:
        row["descriptor"], row["classifier"], row["fusion"] = kinds[row["method"]]
        row["ms_ratio"], row["fit_seconds"] = ratio[row["method"]], None
    return published


def main(arguments: Sequence[str] | None = None) -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--part", choices=("windows", "again", "classical"), default="classical")
    parser.add_argument("--methods", default=",".join(METHODS), help="networks (%(default)s)")
    parser.add_argument("--seconds", default="40", help="processor time to train each network (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/scales"), help="folder (%(default)s)")
    parser.add_argument("-o", "--publish", type=Path, help="JSON for docs/results")
    parser.add_argument("--machine", default=platform.machine(), help="in words, to publish (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one classical method on few faces")
    args = parser.parse_args(arguments)
    again = args.part == "again"
    folder = (args.out / ("few" if args.quick else "again" if again else "drawn")).resolve()
    write_sets(folder, *((16, 6) if args.quick else (800, 250)), 3 if again else 2)
    if args.part != "classical":
        told = ["--set", str(folder / "windows"), "--methods", args.methods, "--seconds", args.seconds]
        told += ["--seeds", "0,1,2" if again else "0", "--machine", args.machine]
        told += ["--out", str(args.out / f"networks-{folder.name}")]
        networks.main([*told, *(["-o", str(args.publish)] if args.publish else [])])
        return
    few = (16, 6) if args.quick else (120, 120)
    problem = replace(sets.load_problem(str(folder / "boxed"), *few, 0), size_hw=(64, 64))
    published = classical(problem, args.out / "classical", args)
    published["provenance"] |= {
        "machine": args.machine,
        "date": str(date.today()),
        "command": "python benchmarks/scales.py --part classical",
    }
    if args.publish:
        write_atomic(args.publish, publish_results.as_text(published))
    for row in published["methods"]:
        ((key, values),) = row["values"].items()
        print(f"{row['method']}: {key} {np.nanmean(np.array(values, float)):.4g}, ms {row['ms_ratio']}")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
