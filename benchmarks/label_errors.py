"""How many planted label errors does ``hybridkp data check --model`` find?

    python benchmarks/label_errors.py --seeds 100,101,102,103,104 -o docs/results/label_errors.json

400 faces of faces68 a seed, other ones for each; a fifth of their labels gets an error of one of four kinds,
in turn: one landmark jumps by 6 to 25 % of the face's extent; a chain of the skeleton is counted from its
wrong end; the whole shape is shifted by 6 to 20 %; two landmarks at least 6 % apart are exchanged.  The score
was designed on the groups of one half of the set (seeds below 100), and is reported on the other half.
Beside it stands what one would try first: the largest residual of an object, in medians of its landmark.
A seed that the file holds already is not computed again.
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
from sklearn.metrics import roc_auc_score

from hybridkp.datasets import group_folds, load_dataset, make_faces
from hybridkp.labels import check_labels
from hybridkp.labels.diagnosis import Diagnosis, chains
from hybridkp.recipes import make_method
from hybridkp.structures import Array, Dataset

KINDS = ("jumped", "reversed", "shifted", "exchanged")
SHARE = 0.2  #: of the labels that get an error
LEAST, JUMP, SHIFT = 0.06, 0.25, 0.20  #: of the longer side of the points' own box
SPLIT = 12345  #: seed of the two halves


def plant(dataset: Dataset, seed: int) -> tuple[Dataset, dict[int, Diagnosis]]:
    """The data set with errors, and what was done to which picture's first object."""
    rng, k = np.random.default_rng(seed), len(dataset.landmarks)
    runs = chains(dataset.skeleton, k) or [tuple(range(k))]
    rows = rng.permutation(len(dataset))[: round(SHARE * len(dataset))].tolist()
    samples, done = list(dataset.samples), {}
    for number, row in enumerate(rows):
        sample = samples[row]
        xy = sample.instances[0].xy.copy()
        done[row] = _spoil(xy, KINDS[number % len(KINDS)], runs, rng)
        spoiled = replace(sample.instances[0], xy=xy)
        samples[row] = replace(sample, instances=(spoiled, *sample.instances[1:]))
    return replace(dataset, samples=tuple(samples)), done


def _spoil(xy: Array, kind: str, runs: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Diagnosis:
    """Points (K, 2) get an error of that kind, in place."""
    extent = float(np.ptp(xy, axis=0).max())
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)])
    if kind == "jumped":
        which = int(rng.integers(len(xy)))
        xy[which] += extent * rng.uniform(LEAST, JUMP) * way
        return Diagnosis(kind, (which,))
    if kind == "reversed":
        run = runs[rng.integers(len(runs))]
        xy[list(run)] = xy[list(run[::-1])]
        return Diagnosis(kind, run)
    if kind == "shifted":
        xy += extent * rng.uniform(LEAST, SHIFT) * way
        return Diagnosis(kind, ())
    while True:
        one, other = sorted(rng.choice(len(xy), 2, replace=False).tolist())
        if np.linalg.norm(xy[one] - xy[other]) >= LEAST * extent:
            xy[[one, other]] = xy[[other, one]]
            return Diagnosis(kind, (one, other))


def judge(score: Array, kinds: Array) -> dict[str, Any]:
    """Figures of scores (B,) against the kind planted in each object (B,), "" = none."""
    wrong = kinds != ""
    top = np.argsort(-score, kind="stable")[: wrong.sum()]
    per_kind = {
        kind: float(roc_auc_score(kinds[mine] == kind, score[mine]))
        for kind in KINDS
        if (mine := (kinds == kind) | ~wrong).any() and (kinds == kind).any()
    }
    return {
        "auroc": float(roc_auc_score(wrong, score)),
        "precision": float(wrong[top].mean()),
        "auroc_of": per_kind,
    }


def one_seed(dataset: Dataset, methods: Sequence[str], seed: int) -> dict[str, Any]:
    """Plant, check, judge."""
    spoiled, done = plant(dataset, seed)
    start = time.process_time()
    found = check_labels(spoiled, {name: make_method(name) for name in methods})
    seconds = time.process_time() - start
    crops = found.opinions.crops
    kinds = np.array(
        [
            done[s].kind if s in done and i == 0 else ""
            for s, i in zip(crops.sample, crops.instance, strict=True)
        ]
    )
    residual = np.linalg.norm(crops.xy - found.guess, axis=2)
    plain = np.nanmax(residual / np.nanmedian(residual, axis=0), axis=1)
    flagged = found.suspicious
    named = [
        (found.diagnoses[r], done[int(crops.sample[r])]) for r in np.flatnonzero(flagged & (kinds != ""))
    ]
    right = [a.kind == b.kind and set(a.landmarks) == set(b.landmarks) for a, b in named]
    return {
        "seed": seed,
        "objects": len(kinds),
        "planted": int((kinds != "").sum()),
        "cpu_seconds": round(seconds, 1),
        "score": judge(found.score, kinds),
        "plain": judge(plain, kinds),
        "flagged": int(flagged.sum()),
        "flagged_wrong": int((kinds[flagged] != "").sum()),
        "named": len(right),
        "named_right": int(np.sum(right)),
    }


def faces(seed: int, n: int) -> Dataset:
    """``n`` faces of the half of the groups that this seed belongs to."""
    whole = load_dataset(sets.data_root() / "faces68", "train")
    halves = group_folds(whole.groups, 2, SPLIT)[0]
    rows = np.random.default_rng(seed).permutation(halves[1] if seed >= 100 else halves[0])[:n]
    return whole.subset(np.sort(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[100])
    parser.add_argument("--methods", type=sets.names_of, default=["sdm"], help="default: sdm")
    parser.add_argument("--faces", type=int, help="a seed; default 400")
    parser.add_argument("-o", "--out", type=Path, help="JSON to add to")
    parser.add_argument("--quick", action="store_true", help="tiny, on synthetic faces")
    args = parser.parse_args(arguments)
    args.faces = args.faces or (60 if args.quick else 400)
    if args.quick:
        args.methods = ["hog+ridge"]
    document = sets.kept(args.out, {"methods": args.methods, "seeds": []})
    for seed in args.seeds:
        if seed in {row["seed"] for row in document["seeds"]}:
            continue
        data = make_faces(args.faces, random_state=seed) if args.quick else faces(seed, args.faces)
        row = one_seed(data, args.methods, seed)
        document["seeds"].append(row)
        sets.keep(args.out, document)
        print(
            f"seed {seed}: AUROC {row['score']['auroc']:.3f} (plain {row['plain']['auroc']:.3f}), precision"
            f" at {row['planted']} {row['score']['precision']:.2f} ({row['plain']['precision']:.2f}),"
            f" {row['named_right']} of {row['named']} named rightly, {row['cpu_seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
