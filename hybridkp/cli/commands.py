"""The commands: each reads its options, calls one public function and prints what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import load_parts, parse_normalizer, thin
from ..structures import Dataset, InputError
from .display import Bar, Display, say

if TYPE_CHECKING:
    from ..structures import Predictions

OK, FAILED = 0, 1
QUICK_TRAIN = 600  #: training pictures with --quick


def bench(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..files import write_atomic
    from ..recipes import parameterised, with_settings

    quick = args.quick if args.quick is not None else args.data == "synthetic"
    names = args.methods or list(recipes.QUICK if quick else recipes.DEFAULT)
    found = evaluate.found_settings(args.tuned) if args.tuned else {}
    made = {name: with_settings(name, recipes.make_method(name, quick=quick), found) for name in names}
    made = parameterised(made, dict(args.param))
    methods = [(name, made[name]) for name in names]
    out = args.out or Path("hybridkp-out") / f"{Path(args.data).resolve().stem}{'-quick' if quick else ''}"
    train, val = load_parts(args.data, args.split)
    train = thin(train, args.max_train or (QUICK_TRAIN if quick else None))
    val = thin(val, args.max_val)
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    facts = {"data": args.data, "split": args.split, "max_val": args.max_val, "normalizer": args.normalizer}
    write_atomic(out / "bench.json", json.dumps(facts, indent=1))
    display = Display(len(methods) * len(set(args.seeds)))
    try:
        predictions = evaluate.bench(
            methods,
            train,
            val,
            out=out,
            seeds=args.seeds,
            n_jobs=args.jobs,
            size_hw=(args.crop, args.crop),
            margin=args.margin,
            max_timed=20 if quick else 50,
            split=args.split,
            progress=display,
        )
    finally:
        display.close()
    facts["setting"] = evaluate.setting(predictions[0])  # of all of them
    write_atomic(out / "bench.json", json.dumps(facts, indent=1))
    _write_report(predictions, val, out, args.normalizer)
    for name in display.failed:
        say(f"hybridkp: {name} failed; its traceback is in {out / 'errors'}")
    return FAILED if display.failed else OK


def train(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..datasets import load_dataset, split_names
    from ..recipes import parameterised

    made = {args.method: recipes.make_method(args.method, quick=args.quick)}
    estimator = parameterised(made, dict(args.param))[args.method]
    split = args.split or ("train" if "train" in split_names(args.data) else None)
    data = thin(load_dataset(args.data, split), args.max_train)
    start = time.perf_counter()
    evaluate.train(
        estimator,
        data,
        args.out,
        seed=args.seed,
        size_hw=(args.crop, args.crop),
        margin=args.margin,
        name=args.method,
    )
    size = args.out.stat().st_size / 1e6
    print(f"{args.out}: {args.method}, {time.perf_counter() - start:.0f} s, {size:.2f} MB")
    return OK


def predict(args: argparse.Namespace) -> int:
    from ..evaluate import predict as predict_pictures
    from ..files import find_images

    pictures = [path for text in args.pictures for path in find_images(text)]
    document = predict_pictures(args.model, pictures, boxes=args.boxes, out=args.out, overlays=args.overlays)
    print(
        f"{len(document['annotations'])} objects in {len(pictures)} pictures: {args.out / 'predictions.json'}"
    )
    return OK


def export(args: argparse.Namespace) -> int:
    from ..files import load_model, read_meta
    from ..runtime import export_runtime

    model, meta = load_model(args.model), read_meta(args.model)
    try:
        export_runtime(model, args.out, meta)
    except InputError as error:
        raise InputError(f"{args.model}: {error}") from None
    print(f"{args.out}: {type(model).__name__}, {args.out.stat().st_size / 1e6:.2f} MB")
    return OK


def data_check(args: argparse.Namespace) -> int:
    from ..datasets import check_dataset

    findings = list(check_dataset(args.data))
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{args.data}: nothing to complain about")
    return FAILED if any(getattr(f, "severity", "") == "error" for f in findings) else OK


def data_info(args: argparse.Namespace) -> int:
    from ..datasets import describe_dataset, split_names

    facts = [describe_dataset(args.data, split) for split in split_names(args.data) or (None,)]
    if args.json:
        print(json.dumps(facts, indent=1))
        return OK
    for part in facts:
        width = max(map(len, part))
        for name, value in part.items():
            if isinstance(value, dict):
                value = ", ".join(f"{k} {v}" for k, v in value.items())
            lines = textwrap.wrap(str(value), 100 - width) or [""]
            print(f"{name:{width}}  {lines[0]}")
            for line in lines[1:]:
                print(f"{'':{width}}  {line}")
        print()
    return OK


def list_methods(args: argparse.Namespace) -> int:
    from .. import recipes

    lines = recipes.methods_table()
    width = max(len(line.name) for line in lines)
    for line in lines:
        short = "" if line.name == line.definition else f" = {line.definition}"
        print(f"{line.name:{width}}  {line.about}{short}")
    return OK


def report(args: argparse.Namespace) -> int:
    from ..evaluate import stored_predictions

    predictions = stored_predictions(args.out)
    facts = _bench_facts(args.out)
    data, split, max_val = args.data or facts["data"], facts["split"], facts["max_val"]
    normalizer = args.normalizer or facts["normalizer"]
    val = thin(load_parts(data, split)[1], max_val)
    good = [p for p in predictions if p.fingerprint == val.fingerprint]
    if not good:
        raise InputError(f"{args.out}: holds predictions for other data than {data}; run the bench again")
    good = _of_one_setting(good, facts["setting"])
    left_out = sorted({p.method for p in predictions} - {p.method for p in good})
    if left_out:
        say(
            f"hybridkp: note: left out {', '.join(left_out)}: stored by a bench on other data or in"
            " another setting than the last one; run the bench with them again"
        )
    _write_report(good, val, args.out, normalizer)
    return OK


def robustness(args: argparse.Namespace) -> int:
    from .. import evaluate
    from ..report import write_robustness

    facts = _bench_facts(args.out)
    val = thin(load_parts(args.data or facts["data"], facts["split"])[1], args.max_val or facts["max_val"])
    models = _models_of(args.out, args.methods, args.seed)
    folder = args.out / "robustness"
    args.resume = f"Finished conditions are kept in {folder}; give the same command again to go on."
    with Bar("condition") as bar:
        answers = evaluate.robustness(
            models,
            val,
            out=folder,
            kinds=args.kinds,
            random_state=args.seed,
            n_jobs=args.jobs,
            progress=bar,
        )
    provenance = {"command": " ".join(["hybridkp", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
    paths = write_robustness(
        answers,
        val,
        args.out,
        normalizer=parse_normalizer(args.normalizer or facts["normalizer"], val),
        random_state=args.seed,
        provenance=provenance,
    )
    print(paths["markdown"].read_text())
    print(f"Report: {paths['html']}")
    return OK


def _models_of(out: Path, methods: list[str] | None, seed: int) -> dict[str, Path]:
    """Name -> model file of a bench's folder."""
    from ..files import read_meta

    suffix = f"-{seed}.hkp"
    paths = sorted(out.glob(f"models/*{suffix}"))
    # a method's name may hold what no file's name can: the file itself says it
    found = {str(read_meta(p).get("method", p.name.removesuffix(suffix))): p for p in paths}
    missing = [name for name in methods or () if name not in found]
    if missing or not found:
        there = f" (there: {', '.join(found)})" if found else ""
        raise InputError(f"{out}: has no model of {missing[0] if missing else f'seed {seed}'}{there}")
    return {name: found[name] for name in methods or found}


def _bench_facts(out: Path) -> dict[str, Any]:
    """What the bench noted about its data."""
    try:
        facts = json.loads((out / "bench.json").read_text())
        known = {name: facts[name] for name in ("data", "split", "max_val", "normalizer")}
        return known | {"setting": facts.get("setting")}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{out}: its bench.json is missing or damaged; run the bench again") from None


def _of_one_setting(found: list[Predictions], setting: dict[str, Any] | None) -> list[Predictions]:
    """Those that a bench made in ``setting``; of a bench that was stopped, in the most common one."""
    from ..evaluate import setting as setting_of

    own = [setting_of(p) for p in found]
    if setting not in own:
        setting = max(own, key=own.count)
    return [p for p, its in zip(found, own, strict=True) if its == setting]


def _write_report(predictions: list[Predictions], val: Dataset, out: Path, normalizer: str | None) -> None:
    from ..report import write_report

    facts = {"command": " ".join(["hybridkp", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
    own = parse_normalizer(normalizer, val)
    result = write_report(predictions, val, out, normalizer=own, provenance=facts)
    print(result.to_markdown())
    print(f"\nReport: {result.paths['html']} (what the columns mean is explained there)")
