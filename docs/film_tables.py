"""The tables of the pages on films, actions and recognition, from stored results; nothing is fitted here.

``benchmarks/film_memory.py``, ``benchmarks/actions.py`` and ``benchmarks/verification.py`` measure.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from table_text import markdown, stored

from hybridkp import stats
from hybridkp.metrics import class_figures

MOST_CONFUSED = 8


def _ends(value: float, low: float, high: float, digits: int = 1, sign: bool = False) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]".replace("-", "−")


def memory() -> str:
    """Peak memory against the length of a film."""
    found = stored("film_memory")
    lines = [
        [f"{row['frames']:,}", f"{row['peak_mb']:.0f}", f"{row['read_mb']:.0f}", f"{row['ms']:.1f}"]
        for row in found["rows"]
    ]
    h, w = found["size_hw"]
    told = (
        f"`{found['method']}`, frames of {w} x {h} px, followed, smoothed and drawn; {found['machine']}, one"
        f" thread, {found['date']}; `{found['command']}`; [every value](results/film_memory.json)."
    )
    headings = ["frames", "peak, MB", "OpenCV reading the film alone, MB", "processor time a frame, ms"]
    return f"{markdown(headings, lines, 0)}\n\n*{told}*"


def jitter() -> str:
    """What each try changed, against the points as detected."""
    found = stored("jitter")
    names = list(dict.fromkeys(row["set"] for row in found["rows"]))
    rows = {(row["set"], row["try"]): row for row in found["rows"]}
    plain = next(iter(rows))[1]
    headings, lines = ["try"], []
    for name in names:
        headings += [f"{name}: error ↓", "jitter ↓"]
    for what in dict.fromkeys(row["try"] for row in found["rows"]):
        cells = []
        for name in names:
            for key, digits in (("error", 1), ("jitter", 0)):
                change = 100 * (rows[name, what][key] / rows[name, plain][key] - 1)
                text = f"{rows[name, plain][key]:.2f}" if what == plain else f"{change:+.{digits}f} %"
                cells.append(text.replace("-", "−"))
        lines.append([what, *cells])
    frames = ", ".join(str(rows[name, plain]["frames"]) for name in names)
    about = found["provenance"]
    told = (
        f"First row in percent of the object's size; {frames} frames; {about['date']}; `{about['command']}`;"
        " [every value](results/jitter.json)."
    )
    return f"{markdown(headings, lines)}\n\n*{told} [What the words mean](glossary.md).*"


# --------------------------------------------------------------------------------------------
# actions
# --------------------------------------------------------------------------------------------


def actions(name: str) -> str:
    """Accuracy and macro F1 of every method, and its accuracy from each view."""
    found = stored(name)
    labels, views = np.array(found["labels"]), np.array(found["views"])
    seen, lines = sorted(set(views.tolist())), []
    for row in sorted(found["rows"], key=lambda r: -class_figures(labels, r["predicted"]).accuracy):
        said = np.array(row["predicted"])
        right = 100.0 * (said == labels)

        def macro(rows: np.ndarray, said: np.ndarray = said) -> float:
            return 100 * class_figures(labels[rows.astype(int)], said[rows.astype(int)]).macro_f1

        whole = stats.bootstrap_interval(right)
        f1 = stats.bootstrap_interval(np.arange(len(labels), dtype=float), statistic=macro, n_resamples=500)
        cells = [_ends(each.value, each.low, each.high) for each in (whole, f1)]
        lines.append([f"`{row['method']}`", *cells, *(f"{right[views == v].mean():.1f}" for v in seen)])
    counts = Counter(views.tolist())
    headings = ["method", "accuracy, % ↑", "macro F1, % ↑", *(f"{v} ({counts[v]})" for v in seen)]
    about = found["provenance"]
    told = (
        f"Penn Action's joints: {about['fit']} to fit, {len(labels)} judged, each once; in brackets 95 %"
        f" intervals over tracks; {about['date']}; `{about['command']}`; [every value](results/{name}.json)."
    )
    return f"{markdown(headings, lines)}\n\n*{told} [What the words mean](glossary.md).*"


def fusions(name: str) -> str:
    """Each fused method against each of its members, on the same tracks."""
    found = stored(name)
    labels = np.array(found["labels"])
    right = {row["method"]: 100.0 * (np.array(row["predicted"]) == labels) for row in found["rows"]}
    pairs = [
        (fused, member, stats.paired_difference(right[fused], right[member]))
        for fused in right
        if "(" in fused
        for member in found["members"]
        if member in fused
    ]
    p_holm = stats.holm([pair.p for _, _, pair in pairs])
    lines = [
        [f"`{fused}`", f"`{member}`", _ends(pair.difference, pair.low, pair.high, 1, True), f"{p:.3f}"]
        for (fused, member, pair), p in zip(pairs, p_holm, strict=True)
    ]
    told = "Sign-flip tests over tracks, p corrected by Holm for all rows."
    return f"{markdown(['fused', 'member', 'difference, points', 'p'], lines, 2)}\n\n*{told}*"


def confusions(name: str) -> str:
    """What the best method takes for what, most often first."""
    found = stored(name)
    labels = found["labels"]
    best = max(found["rows"], key=lambda r: class_figures(labels, r["predicted"]).accuracy)
    wrong = Counter((a, b) for a, b in zip(labels, best["predicted"], strict=True) if a != b)
    of = Counter(labels)
    lines = [
        [a.replace("_", " "), b.replace("_", " "), f"{n} of {of[a]}"]
        for (a, b), n in wrong.most_common(MOST_CONFUSED)
    ]
    told = f"`{best['method']}`: {sum(wrong.values())} of {len(labels)} are wrong."
    return f"{markdown(['action', 'was called', 'tracks'], lines, 2)}\n\n*{told}*"


def settings(name: str) -> str:
    """What each setting gave on folds of the training tracks."""
    found = stored(name)
    lines = [
        [
            row["kind"],
            f"`{row['method']}`",
            f"{row['accuracy']:.1f}",
            "yes" * (row["method"] in found["members"]),
        ]
        for row in found["settings"]
    ]
    return markdown(["kind", "setting", "accuracy on folds of train, %", "chosen"], lines, 2)


# --------------------------------------------------------------------------------------------
# recognition
# --------------------------------------------------------------------------------------------

_WAYS = {"box": "the box alone", "predicted": "aligned, predicted points", "truth": "aligned, true points"}


def verification() -> str:
    """Are two faces one person: by the box alone, and aligned."""
    found = stored("verification")
    lines = []
    for row in found["rows"]:
        gain = _ends(*row["tpr_gain"], 1, True) if "tpr_gain" in row else "–"
        lines.append([_WAYS[row["how"]], *(_ends(*row[key]) for key in ("auc", "tpr", "eer")), gain])
    headings = ["crop", "ROC AUC, % ↑", "TPR at FPR 1 %, % ↑", "EER, % ↓", "TPR gained, points"]
    about = found["provenance"]
    told = (
        f"{about['people']} procedural people, {about['pictures']} pictures, all pairs; {about['rows']} rows,"
        f" cosine; points by `{about['method']}`, learned from {about['fit']} of others; box margin"
        f" {about['margin']:g}, the best of {len(found['margins'])} on other people; in brackets 95 %"
        f" intervals over people; {about['date']}; `{about['command']}`;"
        " [every value](results/verification.json)."
    )
    return f"{markdown(headings, lines)}\n\n*{told} [What the words mean](glossary.md).*"
