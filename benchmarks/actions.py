"""Actions from tracks: classical rows, a temporal convolution, and their fusion, on Penn Action's joints.

Settings are chosen on three folds of the training tracks, as many for each kind of method; the chosen ones
learn from all training tracks and are judged once on the validation tracks. Whoever stops it goes on where
it was.

examples:
  python benchmarks/actions.py --out runs/actions --results docs/results
  python benchmarks/actions.py --quick --out runs/quick
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, recipes
from hybridkp.datasets import Tracks, load_tracks
from hybridkp.metrics import class_figures

#: kind -> the settings that are tried, as many for each
SETTINGS = {
    "svm": ("svm[C=10]", "svm[C=100]", "svm[C=10,gamma=0.5]", "svm[C=100,gamma=0.5]"),
    "forest": (
        "forest[n_estimators=300]",
        "forest[n_estimators=300,min_samples_leaf=2]",
        "forest[n_estimators=300,max_features=0.15]",
        "forest[n_estimators=300,max_features=0.15,min_samples_leaf=2]",
    ),
    "tcn": ("tcn", "tcn[dropout=0.5]", "tcn[width=32]", "tcn[width=96]"),
}
#: of the chosen members, in that order
FUSED = ("average({0},{1})", "average({0},{2})", "average({0},{1},{2})", "stack({0},{1})")
FOLDS = 3


def drawn_tracks(n: int, seed: int) -> Tracks:
    """Three motions of six points: for trying whether it runs."""
    rng, tracks, labels = np.random.default_rng(seed), [], []
    for i in range(n):
        t = np.arange(rng.integers(20, 40))[:, None, None] / 5
        kind = ("wave", "walk", "rest")[i % 3]
        shape = rng.normal(0, 20, (1, 6, 2))
        track = shape + rng.normal(0, 0.5, (len(t), 6, 2)) + 100
        track[:, :2] += 9 * np.sin(t) * (kind == "wave")
        track += 6 * t * (kind == "walk") * [1, 0]
        tracks.append(track)
        labels.append(kind)
    names = tuple(f"{seed}:{i}" for i in range(n))
    landmarks = tuple(f"{side}_{part}" for part in "abc" for side in ("left", "right"))
    return Tracks(tuple(tracks), names, tuple(labels), names, landmarks, ("front",) * n)


def made(names: list[str], tracks: Tracks, quick: bool) -> dict[str, Any]:
    flip = tracks.flip
    own: dict[str, Any] = {"inputs": ("track",), "flip": None if flip is None else flip.tolist()}
    return {name: recipes.make_classifier(name, quick, **own) for name in names}


def told(method: str, done: int, of: int) -> None:
    print(f"{time.strftime('%H:%M:%S')} {method}: {done}/{of}", file=sys.stderr)


def chosen(train: Tracks, folder: Path, quick: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """The best setting of each kind on folds of the training tracks, and what each setting gave."""
    best, rows = [], []
    for kind, names in SETTINGS.items():
        methods = made([kind] if quick else list(names), train, quick)
        found = evaluate.classify_tracks(methods, train, out=folder, folds=FOLDS, progress=told)
        right = {p.method: 100 * class_figures(p.labels, p.predicted).accuracy for p in found}
        best.append(max(right, key=lambda name: right[name]))
        rows += [{"kind": kind, "method": name, "accuracy": round(value, 2)} for name, value in right.items()]
    return best, rows


def judged(folder: Path, quick: bool) -> dict[str, Any]:
    if quick:
        train, val = drawn_tracks(30, 0), drawn_tracks(15, 1)
    else:
        train, val = (
            load_tracks(sets.data_root() / "penn_action" / f"{part}.npz") for part in ("train", "val")
        )
    best, tried = chosen(train, folder / "folds", quick)
    names = ["prior", *best, *(fused.format(*best) for fused in (FUSED[:1] if quick else FUSED))]
    found = evaluate.classify_tracks(made(names, train, quick), train, val, out=folder, progress=told)
    rows = [{"method": p.method, "fit_seconds": p.fit_seconds, "predicted": list(p.predicted)} for p in found]
    return {
        "task": "actions",
        "data": "penn_action",
        "provenance": sets.now(fit=f"{len(train)} tracks", command="python benchmarks/actions.py"),
        "labels": list(val.labels),
        "views": list(val.views),
        "members": best,
        "settings": tried,
        "rows": rows,
    }


def main(argv: list[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of what was predicted")
    parser.add_argument("--results", type=Path, help="folder for penn_action-actions.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="drawn tracks, short trainings: does it run")
    args = parser.parse_args(argv)
    document = judged(args.out, args.quick)
    sets.publish(args.results, "penn_action-actions", document)
    for row in document["rows"]:
        right = class_figures(document["labels"], row["predicted"])
        print(f"{row['method']}: {100 * right.accuracy:.1f} %, macro F1 {100 * right.macro_f1:.1f} %")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
