"""Which way of combining detectors pays?  Every rule on the same members, crops, boxes and pictures.

Each member alone; concatenated features; a refiner behind the first member; shapes, a tree or a cascade
behind a member; and, for the first two and for all members: average, product of score maps, fixed weights,
learned weights, weights that follow the confidence, full covariance, the guarded vote, the gated vote, the
vote with shapes, and stacking.  Members are fitted once and shared.  A killed run goes on where it stopped;
a finished one only prints.

For each set: a table in Markdown (the set's figure with its interval over groups, the paired difference
to the best single member, Holm's p over the table's rows, milliseconds in one thread), and one plot of
all differences.  The best member is the one that is best on the evaluated pictures: the hardest choice.

examples:
  python benchmarks/fusion_ablation.py
  python benchmarks/fusion_ablation.py --sets faces68 --members sdm-hog,heatmap,hog+svm --out runs/fusion
  python benchmarks/fusion_ablation.py --sets faces68 --only-table --out runs/fusion
  python benchmarks/fusion_ablation.py --quick
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, fusion, recipes
from hybridkp import stats as statistics
from hybridkp.files import write_atomic
from hybridkp.report import plots

SETS = ("faces68", "bodies14", "mouse17")
MEMBERS = ("sdm", "heatmap:flip", "hough-forest")
CONCATENATED = "heatmap:flip:sdm[maps=encoder]"
#: one begins where another ends
BEHIND = (
    *("heatmap:flip:shape", "heatmap:flip:tree", "heatmap:flip:sdm"),
    *("heatmap:flip:tree:shape:sdm", "average[weights=3:1](heatmap:flip:sdm,sdm)"),
)
REFINER = "cnn"
QUICK = {"members": ("hog+ridge", "sdm-hog", "mean-shape"), "concatenated": "", "refiner": "subpixel"}


@dataclass(frozen=True)
class Contender:
    """One line of the table."""

    name: str
    rule: str
    members: tuple[str, ...]
    estimator: Any


def rules(weights: Sequence[float]) -> dict[str, Any]:
    """Name -> constructor from members; ``weights`` are those of the fixed vote."""
    return {
        "average": fusion.Average,
        "product of maps": lambda m: fusion.MapFusion(m, how="product"),
        "fixed weights": lambda m: fusion.Average(m, weights=tuple(weights)),
        "learned weights": lambda m: fusion.WeightedVote(m, confidence=False),
        "confidence-weighted": fusion.WeightedVote,
        "full covariance": lambda m: fusion.WeightedVote(m, covariance="full"),
        "guarded vote": lambda m: fusion.WeightedVote(m, guard=True),
        "gated vote": fusion.GatedVote,
        "vote with shapes": fusion.ShapeVote,
        "stacking": fusion.Stacking,
    }


def contenders(
    members: Sequence[str],
    concatenated: str,
    refiner: str,
    *,
    behind: Sequence[str] = (),
    quick: bool = False,
    all_pairs: bool = False,
) -> list[Contender]:
    """The table's lines, from methods; an empty one leaves the line out.

    Fixed weights are set in advance: a deep member counts twice.
    """
    made = {name: recipes.make_method(name, quick=quick) for name in members}
    out = [Contender(name, "alone", (name,), made[name]) for name in members]
    if concatenated:
        both = recipes.make_method(concatenated, quick=quick)
        out.append(Contender(concatenated, "concatenation", (concatenated,), both))
    if refiner:
        refined = recipes.make_method(f"{members[0]}:{refiner}", quick=quick)
        out.append(Contender(f"{members[0]}, then {refiner}", "refiner", (members[0],), refined))
    out += [Contender(n, "behind a member", (n,), recipes.make_method(n, quick=quick)) for n in behind]
    pairs = list(combinations(members, 2)) if all_pairs else [tuple(members[:2])]
    chosen = [*pairs, *(tuple(members[:n]) for n in range(3, len(members) + 1))]
    for names in (c for c in chosen if len(c) > 1):
        weights = [2.0 if recipes.family(n) == "deep" else 1.0 for n in names]
        for rule, make in rules(weights).items():
            combined = make([(n, made[n]) for n in names])
            if not quick or rule in ("average", "gated vote"):
                out.append(Contender(f"{' + '.join(names)}: {rule}", rule, names, combined))
    return out


@dataclass(frozen=True)
class Line:
    """What was found about one contender."""

    name: str
    rule: str
    members: list[str]
    value: float
    low: float
    high: float
    difference: float  #: to the best single member, shown units; NaN for that member itself
    difference_low: float
    difference_high: float
    p_holm: float
    ms: float
    ms_low: float
    ms_high: float


def compare(scored: sets.Scored, lines: Sequence[Contender]) -> tuple[str, list[Line]]:
    """The best single member, and a line for every contender that answered."""
    lines = [c for c in lines if c.name in scored.by_method]
    best = scored.best([c.name for c in lines if c.rule == "alone"])
    differences = {c.name: scored.against(c.name, best) for c in lines if c.name != best}
    corrected = dict(
        zip(differences, statistics.holm([d.p for d in differences.values()]).tolist(), strict=True)
    )
    nothing = statistics.PairedDifference(np.nan, np.nan, np.nan, np.nan, 0, 0)
    out = []
    for c in lines:
        mean, d, ms = scored.interval(c.name), differences.get(c.name, nothing), scored.milliseconds(c.name)
        found = (mean.value, mean.low, mean.high, d.difference, d.low, d.high)
        p = corrected.get(c.name, float("nan"))
        out.append(Line(c.name, c.rule, list(c.members), *found, p, ms[1], ms[0], ms[2]))
    return best, out


def table(headline: Any, best: str, lines: Sequence[Line]) -> str:
    """Markdown; a difference whose Holm p is below 5 % is bold."""
    digits, unit = headline.digits, headline.unit
    rows = []
    for line in lines:
        difference = "(best member)" if line.name == best else "–"
        if np.isfinite(line.difference):
            ends = line.difference, line.difference_low, line.difference_high
            difference = sets.interval_text(*ends, digits, sign=True)
            told_apart = line.p_holm < 1 - sets.LEVEL and abs(line.difference) >= 0.5 * 10**-digits
            difference = f"**{difference}**" if told_apart else difference
        p = "–" if np.isnan(line.p_holm) else f"{line.p_holm:.4f}" if line.p_holm >= 1e-4 else "< 0.0001"
        ms = "–" if np.isnan(line.ms) else f"{line.ms:.1f} ({line.ms_low:.1f}–{line.ms_high:.1f})"
        value = sets.interval_text(line.value, line.low, line.high, digits)
        rows.append([" + ".join(line.members), line.rule, value, difference, p, ms])
    figure = f"{headline.title}, {unit} ({'lower' if headline.lower_is_better else 'higher'} is better)"
    against = f"difference to {best}, {headline.difference_unit}"
    return sets.markdown(["members", "rule", figure, against, "Holm p", "ms, one thread"], rows)


def forest_plot(found: dict[str, tuple[Any, str, list[Line]]]) -> bytes:
    """PNG: for each set, every contender's paired difference to the best member, with its interval."""
    import io

    longest = max(len(lines) for _, _, lines in found.values())
    with plots.figure(5.6 * len(found) + 1.2, 1.4 + 0.27 * longest, "fusion") as fig:
        fig.set_facecolor("white")
        axes = np.atleast_1d(fig.subplots(1, len(found)))
        for axis, (name, (headline, best, lines)) in zip(axes, found.items(), strict=True):
            _forest(axis, f"{name}: against {best}", headline, lines)
        out = io.BytesIO()
        fig.savefig(out, format="png", dpi=120, metadata={"Software": None})
        return out.getvalue()


def _forest(axis: Any, title: str, headline: Any, lines: Sequence[Line]) -> None:
    shown = [line for line in lines if np.isfinite(line.difference)]
    y = np.arange(len(shown))[::-1]
    for at, line in zip(y, shown, strict=True):
        gain = line.difference < 0 if headline.lower_is_better else line.difference > 0
        sure = line.p_holm < 1 - sets.LEVEL
        color = plots.MUTED if not sure else plots.COLORS[2] if gain else plots.COLORS[1]
        axis.plot([line.difference_low, line.difference_high], [at, at], color=color, lw=1.8)
        axis.plot(line.difference, at, "o", color=color, ms=5)
    axis.axvline(0, color=plots.INK, lw=0.8)
    labels = [_short(line) if len(line.members) > 1 else line.name for line in shown]
    axis.set_yticks(y, [plots.plain(label) for label in labels], fontsize=7.5)
    axis.set_title(plots.plain(title), fontsize=9, loc="left")
    better = "left" if headline.lower_is_better else "right"
    axis.set_xlabel(f"{headline.title} difference, {headline.difference_unit} ({better} is better)")
    # a floor method must not squeeze the rest
    ends = np.array([(line.difference_low, line.difference_high) for line in shown if len(line.members) > 1])
    ends = ends[np.isfinite(ends).all(axis=1)] if len(ends) else ends
    if len(ends):
        room = 3 * float(np.percentile(np.abs(ends), 75)) + 1e-9
        axis.set_xlim(max(axis.get_xlim()[0], -room), min(axis.get_xlim()[1], room))


def _short(line: Line) -> str:
    return f"{len(line.members)}: {line.rule}"


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    quick = args.quick
    chosen = {"members": args.members, "concatenated": args.concatenated, "refiner": args.refiner}
    lines = contenders(**chosen, behind=args.behind, quick=quick, all_pairs=args.all_pairs)
    found: dict[str, tuple[Any, str, list[Line]]] = {}
    texts = [f"Members: {', '.join(args.members)}; seeds {', '.join(map(str, args.seeds))}."]
    for name in args.sets:
        problem = sets.load_problem(name, args.max_train, args.max_val, 5 if quick else 50)
        folder = args.out / name
        if args.only_table:
            predictions = evaluate.stored_predictions(folder)
        else:
            print(f"{name}: {len(problem.train)} + {len(problem.val)} pictures", file=sys.stderr)
            methods = {c.name: c.estimator for c in lines}
            predictions = sets.run(methods, problem, folder, seeds=args.seeds, n_jobs=args.jobs)
        scored = sets.score(problem, predictions)
        best, rows = compare(scored, lines)
        found[name] = scored.headline, best, rows
        texts.append(f"### {name}\n\n{table(scored.headline, best, rows)}")
        print(f"\n{texts[-1]}\n", flush=True)
        # after every set: what a stopped run found is there
        write_atomic(args.out / "ablation.md", "\n\n".join(texts) + "\n")
        data = {n: {"best": b, "lines": [asdict(r) for r in rs]} for n, (_, b, rs) in found.items()}
        write_atomic(args.out / "ablation.json", json.dumps(data, indent=1))
        write_atomic(args.out / "ablation.png", forest_plot(found))
    print(f"written: {args.out}/ablation.md, .json, .png", file=sys.stderr)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=sets.names_of, help=f"default: {','.join(SETS)}")
    parser.add_argument("--members", type=sets.names_of, help=f"methods, default: {','.join(MEMBERS)}")
    parser.add_argument("--concatenated", help=f"method of concatenated features, default: {CONCATENATED}")
    parser.add_argument("--refiner", help=f"step behind the first member, default: {REFINER}; '' = none")
    parser.add_argument("--behind", type=sets.names_of, help=f"methods, default: {','.join(BEHIND)}")
    parser.add_argument("--all-pairs", action="store_true", help="every pair of members, not the first only")
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[0])
    parser.add_argument("--out", type=Path, default=Path("hybridkp-out/fusion-ablation"))
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    parser.add_argument("--max-train", type=int, help="training pictures, spread over the set")
    parser.add_argument("--max-val", type=int, help="evaluated pictures")
    parser.add_argument("--only-table", action="store_true", help="fit nothing: print what --out holds")
    parser.add_argument("--quick", action="store_true", help="tiny, on synthetic faces, classical members")
    args = parser.parse_args(arguments)
    quick = args.quick
    args.sets = args.sets or (["synthetic"] if quick else list(SETS))
    args.members = args.members or list(QUICK["members"] if quick else MEMBERS)
    if args.concatenated is None:
        args.concatenated = QUICK["concatenated"] if quick else CONCATENATED
    args.behind = args.behind or ([] if quick else list(BEHIND))
    if args.refiner is None:
        args.refiner = QUICK["refiner"] if quick else REFINER
    if quick:
        args.max_train, args.max_val = args.max_train or 36, args.max_val or 16
    return args


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
