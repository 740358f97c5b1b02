"""The tables of the page on several views and lifting, from ``docs/results/views.json`` and ``lifting.json``.

Nothing is computed here but rounding.
"""

from __future__ import annotations

from typing import Any

from table_text import markdown, stored


def _made(found: Any, words: str, file: str) -> str:
    facts = found["provenance"]
    return f"\n\n*{words} {facts['date']}; `{found['command']}`; [every value](results/{file}.json).*"


def _few(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    text = f"{value:.{digits}f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.replace("-", "−")


def space(name: str) -> str:
    """Triangulated points of one set by the number of cameras."""
    whole = stored("views")
    found = whole["sets"][name]
    unit = found["unit"]
    lines = []
    for row in found["space"]:
        numbers = [row["median"], row["mean"], row["left_out_px"]]
        cells = [row["points"], str(row["cameras"]), *map(_few, numbers), f"{row['found_percent']:.1f}"]
        lines.append([f"`{cells[0]}`" if cells[0] != "labels" else cells[0], *cells[1:]])
    heads = ["points", "cameras", f"median, {unit} ↓", f"mean, {unit} ↓", "left out, px ↓", "found, %"]
    moved = found["adjusted"]
    words = (
        f"{found['instants']} instants, every choice of so many of {found['cameras']} cameras. Cameras moved"
        " to fit the other stretches' labels take the left-out error of labels from"
        f" {moved['given_px']:.2f} to {moved['moved_px']:.2f} px."
    )
    return markdown(heads, lines) + _made(whole, words, "views")


def helped() -> str:
    """The 2-D detector before and after the other cameras were heard."""
    whole = stored("views")
    lines = []
    for name, found in whole["sets"].items():
        for row in found["help"]:
            gap = f"{_few(row['difference_px'])} [{_few(row['low'])}, {_few(row['high'])}]"
            each = [b < a for a, b in row["by_group"].values()]
            better = f"{sum(each)} of {len(each)}"
            p = "–" if row["p"] is None else f"{row['p']:.3f}"
            cells = [f"`{row['method']}`", row["pictures"], _few(row["alone_px"]), _few(row["fused_px"])]
            lines.append([name, *cells, gap, better, p])
    heads = [
        "set",
        "method",
        "pictures",
        "alone, px",
        "with the others, px",
        "difference",
        "stretches better",
        "p",
    ]
    words = "Means over instants; intervals and p over stretches of time, no p below six."
    return markdown(heads, lines, left=3) + _made(whole, words, "views")


def beside() -> str:
    """A camera's own detector that is also shown the next camera's crop."""
    whole = stored("views")
    lines = []
    for name, found in whole["sets"].items():
        row = found["crop_beside"]
        gap = f"{_few(row['difference_px'])} [{_few(row['low'])}, {_few(row['high'])}]"
        p = "–" if row["p"] is None else f"{row['p']:.3f}"
        lines.append([name, f"`{row['method']}`", *map(_few, row["px"].values()), gap, p])
    heads = ["set", "method", "own crop, px", "the next camera's, px", "both, px", "both to own", "p"]
    words = "A detector for each camera; means over instants; intervals and p over stretches of time."
    return markdown(heads, lines, left=2) + _made(whole, words, "views")


def lifting() -> str:
    """Every lifter on lift15."""
    found = stored("lifting")
    lines = []
    for row in sorted(found["lifters"], key=lambda r: r["mpjpe_mm"]):
        cells = [
            f"{row[f'{k}_mm']:.1f} [{row[f'{k}_low']:.1f}, {row[f'{k}_high']:.1f}]"
            for k in ("mpjpe", "p_mpjpe")
        ]
        gap = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row["to_best_single_mm"]).replace("-", "−")
        same = row["lifter"] == found["best_single"]
        p = "–" if row["p"] is None or same else f"{row['p']:.4f}"
        lines.append([row["lifter"], *cells, "(best single)" if same else gap, p])
    heads = ["lifter", "MPJPE, mm ↓", "P-MPJPE, mm ↓", "to the best single, mm", "p"]
    px = ", ".join(f"{v:.1f}" for v in found["camera_residual_px"].values())
    words = (
        f"{found['n_train']} pairs to learn from, {found['n_val']} of {found['sequences_val']} sequences to"
        f" judge; cameras resected from the training pairs fit them to {px} px (median)."
    )
    return markdown(heads, lines) + _made(found, words, "lifting")
