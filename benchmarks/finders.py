"""Finders, and methods of whole pictures, on several data sets: what docs/finders.md shows.

Each set is benched as ``hybridkp bench-finders`` does it, with ``--whole`` as ``hybridkp bench`` does it; of
a COCO file that says which of its pictures are annotated completely, the others are left out. ``--out``
keeps what was found, so that a run that was stopped goes on.

examples:
  python benchmarks/finders.py --out runs/finders --results docs/results
  python benchmarks/finders.py --whole --sets flies13 --out runs/whole --results docs/results
  python benchmarks/finders.py --sets scenes --quick --out runs/quick
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import landmark_sets as sets

from hybridkp import evaluate, recipes
from hybridkp.datasets import make_scenes
from hybridkp.files import FoundBoxes, load_found, load_model
from hybridkp.report import write_finders_report
from hybridkp.structures import Dataset, InputError, Problem

_NET = "centernet[input_px=160,max_epochs=10,epoch_pictures=240]"
COMMON = ("hog+svm", _NET, f"fused(hog+svm,{_NET})", "verify(hog+svm)")
_JUDGED = f"judged({_NET},hog+svm)"
#: data set -> training pictures, evaluated pictures, finders besides COMMON
SETS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "scenes": (50, 40, ("hog+svm[fast=true]", "acf+svm", "hog+forest", "lbp-faces", _JUDGED)),
    "flies13": (40, 30, (_JUDGED,)),
    "openfield4": (40, 26, ()),
    "coco_people": (60, 30, ()),
}
QUICK = {"finders": ("hog+svm", "cascade"), "landmarks": ("cascade/mean-shape", "hog+ridge")}
_FEW = "input_px=160,max_epochs=12,epoch_pictures=240"
_BOTH = ("hog+svm/sdm", "sdm")
#: the same for methods of whole pictures; pictures of flies show them in any direction
WHOLE: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "scenes": (60, 100, (*_BOTH, "hog+svm[fast=true]/sdm", f"onestage[{_FEW}]", f"paf[{_FEW}]")),
    "flies13": (60, 80, (*_BOTH, f"paf[{_FEW},turns=180]:sdm")),
}


def complete(dataset: Dataset, file: Path) -> Dataset:
    """The pictures that the file does not call incomplete."""
    if not file.is_file():
        return dataset
    images = json.loads(file.read_text(encoding="utf-8"))["images"]
    partly = {image["file_name"] for image in images if image.get("complete") is False}
    return dataset.subset([not any(s.name.endswith(n) for n in partly) for s in dataset])


def problem_of(name: str, max_train: int, max_val: int) -> Problem:
    from hybridkp.datasets import thin

    root = Path(name) if name == "scenes" else sets.data_root() / name
    whole = evaluate.load_problem(str(root))
    train, val = (
        complete(part, root / f"{split}.json") for part, split in ((whole.train, "train"), (whole.val, "val"))
    )
    return replace(whole, train=thin(train, max_train), val=thin(val, max_val))


def further(folder: Path, n: int) -> tuple[Dataset, list[FoundBoxes]]:
    """A two-stage finder and its first stage, as they were fitted, on ``n`` scenes of another seed.

    Forty pictures leave an interval too wide to tell the two.
    """
    val = make_scenes(n, random_state=2_000_003, background="real-val", name="scenes-more")
    out = []
    for name in ("hog+svm", "verify(hog+svm)"):
        stem = evaluate.file_name(name)
        before = load_found(folder / "found" / f"{stem}.json")
        found = evaluate.ask_pictures(name, load_model(folder / "models" / f"{stem}.hkp"), val)
        costs = {k: getattr(before, k) for k in ("fit_seconds", "model_bytes", "time_ratio", "fit_host")}
        out.append(replace(found, **costs))
    return val, out


def published(results: dict[str, Any]) -> dict[str, Any]:
    """What the docs keep of a report: four digits of every figure."""
    left_out = ("rank", "method", "family", "letters")
    rows = [
        {"finder": row["method"], "kind": row.get("family", "")}
        | {k: v if v is None else float(f"{v:.4g}") for k, v in row.items() if k not in left_out}
        for row in results["methods"]
    ]
    about = results["about"]
    keys = [k for k, v in about.items() if isinstance(v, str) and k not in ("title", "headline")]
    return {
        "task": "finders",
        "provenance": {k: about[k] for k in keys},
        "facts": about["facts"],
        "finders": rows,
    }


def report(
    found: list[FoundBoxes], val: Dataset, out: Path, facts: dict[str, str], results: Path | None, name: str
) -> None:
    """The page of a bench, its table on the screen, and what the docs keep of it."""
    task = "finders" if found[0].points is None else "landmarks"
    families = {f.finder: recipes.family(f.finder, task) for f in found}
    paths = write_finders_report(found, val, out, families=families, provenance=facts)
    print(paths["markdown"].read_text(encoding="utf-8"))
    kind = "finders" if task == "finders" else "whole"
    sets.publish(results, f"{name}-{kind}", published(json.loads(paths["json"].read_text(encoding="utf-8"))))


def main(argv: list[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--sets", help="with commas (default: all)")
    parser.add_argument("--whole", action="store_true", help="methods that give points, instead of finders")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N finders of each set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--results", type=Path, help="folder for NAME-finders.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="a dozen scenes and two finders: does it run")
    parser.add_argument(
        "--more", type=int, metavar="N", help="instead: two finders of a run of scenes on N further scenes"
    )
    args = parser.parse_args(argv)
    if args.more:
        val, found = further(args.out / "scenes", args.more)
        facts = {
            "command": f"python benchmarks/finders.py --more {args.more}",
            "fit": f"{SETS['scenes'][0]} pictures",
        }
        report(found, val, args.out / "scenes" / "more", facts, args.results, "scenes-more")
        return
    kind, make = ("landmarks", recipes.make_method) if args.whole else ("finders", recipes.make_finder)
    usual = ["scenes"] if args.quick else WHOLE if args.whole else SETS
    for name in args.sets.split(",") if args.sets else usual:
        n_train, n_val, names = WHOLE[name] if args.whole else SETS[name]
        names = tuple(recipes.canonical(e, kind) for e in (names if args.whole else (*COMMON, *names)))
        names = names[: args.first]
        if args.quick:
            n_train, n_val, names = 12, 6, QUICK[kind]
        try:
            problem = problem_of(name, n_train, n_val)
        except InputError as error:
            print(f"{name}: left out ({error})", file=sys.stderr)
            continue
        made = {e: make(e) for e in names}
        found = evaluate.bench_finders(
            made, problem, args.out / name, progress=lambda *what: print(*what, file=sys.stderr)
        )
        command = f"python benchmarks/finders.py{' --whole' * args.whole} --sets {name}"
        facts = {"command": command, "fit": f"{len(problem.train)} pictures"}
        report(found, problem.val, args.out / name, facts, args.results, name)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
