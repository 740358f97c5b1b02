"""Does presence tell objects from what is none? Background, halves and other objects in the place of faces.

    python benchmarks/presence.py -o docs/results/presence.json --keep runs/presence

Each method is trained with the step ``presence`` on a part of the training pictures and asked about the
judged ones: in their own boxes; in boxes away from the face, or half beside it; and about crops of other
data sets. The threshold is that of 95 % recall. A method that the file holds already is not asked again;
``--keep`` is where trainings are kept, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, memory
from hybridkp.datasets import load_dataset, thin
from hybridkp.imaging.crops import cut
from hybridkp.imaging.geometry import crop_matrix
from hybridkp.metrics import box_overlap
from hybridkp.recipes import make_method, split
from hybridkp.structures import Array, Dataset, Problem

NET = "heatmap[input_px=64,max_epochs=20]"  # what turned.py trains too
CHAIN = f"{NET}:flip:tree:shape:sdm"  # the README's, with that network
METHODS = ("sdm", "hog+ridge", "lbf", NET, f"average(sdm,{NET})", CHAIN)
OTHERS = ("bees32", "bodies14", "ceph19", "mouse17", "openfield4", "wings12")
RECALL = 0.95
PER_PICTURE = 2  #: boxes of a kind
SEED = 11


def background(box: Array, size_hw: tuple[int, int], rng: np.random.Generator) -> Array | None:
    """A box of 0.3 to 1 of the object's size, at most a tenth of which lies in the object's."""
    for _ in range(60):
        side = max(box[2:]) * rng.uniform(0.3, 1.0)
        room = np.array(size_hw[::-1]) - side
        if (room > 0).all():
            other = np.concatenate([rng.uniform(0, room), [side, side]])
            shared = float(box_overlap(other[None], box[None])[0, 0])
            inside = shared * (side**2 + box[2] * box[3]) / (1 + shared)
            if inside <= 0.1 * side**2:
                return other
    return None


def half(box: Array, size_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """The object's box, moved left, right, up or down by 45 to 60 % of its side."""
    angle = np.pi / 2 * rng.integers(4) + rng.uniform(-0.3, 0.3)
    shift = max(box[2:]) * rng.uniform(0.45, 0.6) * np.array([np.cos(angle), np.sin(angle)])
    return np.concatenate([box[:2] + shift, box[2:]])


def seen(data: Dataset, problem: Problem, choose: Callable[..., Array | None]) -> Array:
    """Crops (N, H, W, 3) of chosen boxes of each picture."""
    rng, out = np.random.default_rng(SEED), []
    for sample in data:
        image = sample.image
        for _ in range(PER_PICTURE):
            box = choose(sample.instances[0].box_xywh, image.shape[:2], rng)
            if box is not None:
                out.append(cut(image, crop_matrix(box, problem.size_hw, problem.margin), problem.size_hw))
    return np.stack(out)


def without_object(problem: Problem) -> dict[str, Array]:
    """Kind -> crops (N, H, W, 3) without the object."""
    found = {"background": seen(problem.val, problem, background), "halves": seen(problem.val, problem, half)}
    folders = [sets.data_root() / name for name in OTHERS]
    parts = [thin(load_dataset(f, "val"), 40) for f in folders if f.is_dir()]
    if parts:
        crops = (evaluate.make_crops(part, problem.size_hw, problem.margin).images for part in parts)
        found["other objects"] = np.concatenate([np.asarray(images) for images in crops])
    return found


def judged(method: str, problem: Problem) -> dict[str, Any]:
    """What the presence of a method says of the judged crops and of those without an object."""
    crops = evaluate.make_crops(problem.train, problem.size_hw, problem.margin)
    model = make_method(f"{method}:presence")
    model = model.fit(crops.batch, crops.xy, groups=crops.groups, flip=crops.flip)
    faces = np.asarray(evaluate.make_crops(problem.val, problem.size_hw, problem.margin).images)
    there = model.predict_with_presence(faces)[2]
    plain = model.detector_.predict_with_score(faces)[1].mean(1)
    at, at_score = np.quantile(there, 1 - RECALL), np.quantile(plain, 1 - RECALL)
    row: dict[str, Any] = {
        "method": method,
        "objects": len(faces),
        "recall_at_half": float((there >= 0.5).mean()),
        "threshold": float(at),
        "kinds": {},
    }
    for kind, images in without_object(problem).items():
        presence = model.predict_with_presence(images)[2]
        alone = model.detector_.predict_with_score(images)[1].mean(1)
        row["kinds"][kind] = {
            "crops": len(images),
            "accepted": float((presence >= at).mean()),
            "accepted_at_half": float((presence >= 0.5).mean()),
            "accepted_by_score": float((alone >= at_score).mean()),
        }
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    judge_each(read_arguments(__doc__, METHODS, arguments), {"recall": RECALL}, judged, told)


def told(row: dict[str, Any]) -> list[str]:
    kinds = ", ".join(f"{k} {100 * v['accepted']:.1f} %" for k, v in row["kinds"].items())
    return [f": accepted at 95 % recall: {kinds}"]


# --------------------------------------------------------------------------------------------
# shared with covariance.py and turned.py
# --------------------------------------------------------------------------------------------


def judge_each(
    args: argparse.Namespace,
    facts: dict[str, Any],
    judged: Callable[[str, Problem], dict[str, Any]],
    told: Callable[[dict[str, Any]], Sequence[str]],
) -> None:
    """Judge each method on each set that the file lacks, keep it, and tell of all.

    ``facts`` hold for the whole file; ``told`` gives what follows a row's set and method, a line each.
    """
    document = sets.kept(args.out, {**facts, "sets": {}})
    for name in args.sets:
        problem = sets.load_problem(name, args.max_train, args.max_val)
        sizes = {"train": len(problem.train), "val": len(problem.val)}
        part = document["sets"].setdefault(name, {**sizes, "methods": []})
        known = {row["method"] for row in part["methods"]}
        for method in (m for m in args.methods if m not in known):
            with memory.remember(args.keep) if args.keep else nullcontext():
                part["methods"].append(judged(method, problem))
            sets.keep(args.out, document)
        for row in part["methods"]:
            for line in told(row):
                print(f"{name}, {row['method']}{line}", flush=True)


def read_arguments(
    about: str | None,
    methods: Sequence[str],
    arguments: Sequence[str] | None,
    names: Sequence[str] = ("faces68", "synthetic"),
) -> argparse.Namespace:
    """What they are told; ``names`` are the sets."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=shape)
    parser.add_argument("--sets", type=sets.names_of, default=list(names), help="default: both")
    parser.add_argument("--methods", type=split, default=list(methods), help=f"default: {len(methods)}")
    parser.add_argument("--max-train", type=int, default=600, help="pictures; default: %(default)s")
    parser.add_argument("--max-val", type=int, help="pictures; default: all")
    parser.add_argument("--keep", type=Path, help="folder where trainings are kept")
    parser.add_argument("-o", "--out", type=Path, help="JSON to add to")
    parser.add_argument("--quick", action="store_true", help="tiny, one classical method")
    args = parser.parse_args(arguments)
    if args.quick:
        args.sets, args.methods, args.max_train, args.max_val = ["synthetic"], ["hog+ridge"], 60, 20
    return args


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
