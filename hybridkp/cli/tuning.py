"""The command ``tune``: settings chosen on folds of the training part, and a table of every trial."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..structures import InputError
from .display import Bar

if TYPE_CHECKING:
    from ..evaluate.tuning import Trial

OK = 0


def tune(args: argparse.Namespace) -> int:
    from .. import recipes
    from ..datasets import load_parts, parse_normalizer, thin
    from ..evaluate.tuning import best_trial
    from ..evaluate.tuning import tune as search
    from ..files import write_atomic
    from ..recipes.settings import parameterised

    names = args.methods or [n for n in recipes.DEFAULT if recipes.search_space(n)]
    fixed = [n for n in names if not recipes.search_space(n)]
    if fixed:
        raise InputError(f"{fixed[0]} has nothing to tune of its own; combinations take their members'")
    params = dict(args.param)
    made = parameterised({name: recipes.make_method(name, quick=args.quick) for name in names}, params)
    data = thin(load_parts(args.data, "val")[0], args.max_train)
    args.resume = f"Finished folds are kept in {args.out}; give the same command again to go on."
    found = {}
    for name, estimator in made.items():
        space = {k: v for k, v in recipes.search_space(name).items() if k not in params}
        with Bar("trial", f"{name}: ") as bar:
            found[name] = search(
                estimator,
                space,
                data,
                out=args.out / name,
                n_trials=args.trials,
                cv=args.cv,
                random_state=args.seed,
                size_hw=(args.crop, args.crop),
                margin=args.margin,
                normalizer=parse_normalizer(args.normalizer, data),
                n_jobs=args.jobs,
                progress=bar,
            )
    best = {name: best_trial(trials) for name, trials in found.items()}
    note = f"`{' '.join(['hybridkp', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}\n\n"
    text = "\n\n".join(_all_trials(name, trials, best[name]) for name, trials in found.items())
    write_atomic(args.out / "trials.md", f"# Trials\n\n{note}{text}\n")
    print(_choices(found, best))
    print(f"\nEvery trial: {args.out / 'trials.md'}")
    print(f"Use them: hybridkp bench {args.data} --tuned {args.out}")
    return OK


def _choices(found: Mapping[str, Sequence[Trial]], best: Mapping[str, Trial]) -> str:
    from ..evaluate.tuning import shown

    heading = shown(next(iter(best.values())))[0]
    rows = [
        (name, str(len(trials)), _error(trials[0]), _error(best[name]), _difference(best[name]))
        + (_words(best[name]), f"{sum(t.seconds for t in trials):.0f}")
        for name, trials in found.items()
    ]
    return _table(
        ("method", "trials", f"{heading}: defaults", "choice", "apart [95 %]", "settings", "s"), rows
    )


def _all_trials(name: str, trials: Sequence[Trial], best: Trial) -> str:
    from ..evaluate.tuning import shown

    rows = [
        (_words(t) + (" (chosen)" if t is best else ""), _error(t), _difference(t), f"{t.p:.3g}")
        + (f"{t.seconds:.0f}",)
        for t in trials
    ]
    heads = ("settings", shown(trials[0])[0], "apart from the defaults [95 %]", "p", "s")
    return f"## {name}\n\n{_table(heads, rows)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    right = [":---" if head in ("method", "settings") else "---:" for head in heads]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, right, *rows))


def _words(trial: Trial) -> str:
    return ", ".join(f"{k}={v}" for k, v in trial.params.items()) or "defaults"


def _error(trial: Trial) -> str:
    from ..evaluate.tuning import shown

    return f"{trial.error * shown(trial)[1]:.2f}"


def _difference(trial: Trial) -> str:
    from ..evaluate.tuning import shown

    if not trial.params:
        return "–"
    value, low, high = (v * shown(trial)[1] for v in (trial.difference, trial.low, trial.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
