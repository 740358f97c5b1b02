"""The report's curves and scatter plots as inline SVG, and the README's picture as PNG.

Matplotlib's Agg and SVG backends draw; text becomes outlines, so that the page looks the same on
every machine, and near-black becomes ``currentColor``, so that it follows light and dark.  Takes
plain numbers; reads no file, writes none, computes no metric.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import numpy as np

from ..structures import Array
from .labels import place_labels

INK = "#010203"  # stands for the page's text colour
MUTED = "#8a8f98"  # readable on white and on near-black
ACCENT = "#c8500a"
#: after Okabe and Ito (2008), without yellow and black, which vanish on one of the two grounds
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", MUTED)
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
LONGEST = 84  # signs of a name beside a wide plot; half of it below a narrow one


@dataclass(frozen=True)
class Point:
    """One method in the accuracy-against-latency plot; ``low`` and ``high`` bound ``value``."""

    method: str
    ms: float
    value: float
    low: float
    high: float


def style_of(index: int) -> tuple[str, Any]:
    """Colour and dash of the index-th curve: 28 pairs before one comes again."""
    return COLORS[index % len(COLORS)], DASHES[(index // len(COLORS)) % len(DASHES)]


@cache
def _font_signs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def plain(text: str) -> str:
    """Text that matplotlib shows letter by letter: no mathtext, "?" for what its font lacks."""
    known, text = _font_signs(), text.replace("\N{NO-BREAK SPACE}", " ")
    signs = (c if c == "\n" or (c.isprintable() and ord(c) in known) else "?" for c in text)
    return "".join(signs).replace("$", r"\$")


@contextmanager
def figure(width: float, height: float, salt: str, font: float = 9.0) -> Iterator[Any]:
    """A bare Figure (in inches) with the report's style; nothing of pyplot's state is touched."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rc: dict[Any, Any] = {
        "svg.fonttype": "path",
        "svg.hashsalt": f"hybridkp-{salt}",
        "font.family": "DejaVu Sans",  # travels with matplotlib
        "font.size": font,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": MUTED,
        "grid.alpha": 0.25,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.08,
        "figure.constrained_layout.h_pad": 0.08,
    }
    with mpl.rc_context(rc):
        fig = Figure(figsize=(width, height))
        FigureCanvasAgg(fig)
        yield fig


def to_svg(fig: Any, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element for HTML; ids carry ``name``, so that several can share a page.

    ``label`` is read out instead of the picture.
    """
    out = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    text = re.sub(r"\n\s*", "\n", text)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width = float(box[1]) * 4 / 3 if box else 700
    head = f'<svg role="img" aria-label="{escape(label)}" style="width:{width:.0f}px" '
    return re.sub(r"<svg( width=\"[^\"]*\"| height=\"[^\"]*\")*", head, _drop_size(text), count=1)


def _drop_size(text: str) -> str:
    head, _, rest = text.partition(">")
    return re.sub(r'\s(width|height|version)="[^"]*"', "", head) + ">" + rest


def pareto(points: Sequence[Point], *, lower_is_better: bool = True) -> list[int]:
    """Indices of the methods that no other beats in both speed and accuracy, fastest first."""
    sign = 1 if lower_is_better else -1
    order = sorted(range(len(points)), key=lambda i: (points[i].ms, sign * points[i].value))
    front: list[int] = []
    for i in order:
        if not front or sign * points[i].value < sign * points[front[-1]].value:
            front.append(i)
    return front


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10 instead of powers on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    fine = ((0.7, range(1, 10)), (1.2, (1, 1.5, 2, 3, 4, 5, 7)), (2.5, (1, 2, 5)), (np.inf, (1,)))
    subs = next(tuple(s) for most, s in fine if decades < most)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def log_values(axes: Any) -> None:
    """A logarithmic y axis with plain numbers: each decade, twice and five times it."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    axes.yaxis.set_minor_formatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else "")


def _limits(values: Array, log: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if log:
        room = max((high / low) ** 0.12, 1.25)
        return low / room, high * room
    room = max(0.12 * (high - low), 1e-3 * max(abs(high), 1e-9))
    return low - room, high + room


def pinned(points: Sequence[Point]) -> int | None:
    """The one method so much faster than all others (8 times) that it would squeeze them, or None."""
    order = sorted(range(len(points)), key=lambda i: points[i].ms)
    alone = len(points) > 2 and points[order[1]].ms > 8 * points[order[0]].ms
    return order[0] if alone else None


def draw_trade_off(
    axes: Any, points: Sequence[Point], *, y_label: str, lower_is_better: bool, what: str = "object"
) -> None:
    """Accuracy over milliseconds with intervals, the Pareto front and labels that keep clear.

    A method that is alone far to the left (:func:`pinned`) is drawn at the left edge as a triangle,
    its time in its label.
    """
    ms, value = np.array([p.ms for p in points]), np.array([p.value for p in points])
    names, left = [p.method for p in points], pinned(points)
    if left is not None:
        names[left] += f" ({points[left].ms:.2g} ms)"
        ms[left] = np.sort(ms)[1] / 1.8
    low = np.array([p.low if np.isfinite(p.low) else p.value for p in points])
    high = np.array([p.high if np.isfinite(p.high) else p.value for p in points])
    positive = np.concatenate([low, high]).min() > 0
    log_y = bool(lower_is_better and positive and value.max() > 2.5 * value.min())
    axes.set_xscale("log")
    axes.set_yscale("log" if log_y else "linear")
    axes.set_xlim(*_limits(ms, True))
    axes.set_ylim(*_limits(np.concatenate([low, high]), log_y))
    front = pareto(points, lower_is_better=lower_is_better)
    axes.plot(ms[front], value[front], color=ACCENT, lw=1.2, alpha=0.6, drawstyle="steps-post", zorder=2)
    axes.vlines(ms, low, high, color=MUTED, lw=1.4, zorder=2)
    best = np.isin(np.arange(len(points)), front)
    for rows, color, marker, size in (
        (~best, "#0072b2", "o", 34),
        (best & (np.arange(len(points)) != left), ACCENT, "D", 42),
        (np.arange(len(points)) == left, ACCENT, "<", 60),
    ):
        axes.scatter(ms[rows], value[rows], s=size, color=color, marker=marker, zorder=3, linewidths=0)
    axes.set_xlabel(f"ms per {what}, one thread (log scale)")
    axes.set_ylabel(y_label)
    _plain_ticks(axes.xaxis)
    if log_y:
        _plain_ticks(axes.yaxis)
    corners = np.array([ms[front], value[front]]).T
    knees = np.stack([corners[1:, 0], corners[:-1, 1]], 1)
    strokes = np.concatenate(
        [
            np.stack([np.stack([ms, low], 1), np.stack([ms, high], 1)], 1),
            np.stack([corners[:-1], knees], 1),
            np.stack([knees, corners[1:]], 1),
        ]
    )
    _label_points(axes, names, np.stack([ms, value], 1), strokes)


def _label_points(axes: Any, names: Sequence[str], xy: Array, strokes: Array) -> None:
    """Names beside points (N, 2), off the straight ``strokes`` (M, 2, 2), all in data units."""
    fig = axes.figure.canvas.figure  # the root, also from within a subfigure
    fig.draw_without_rendering()  # the layout settles, so that pixels can be asked for
    fig.set_layout_engine("none")
    renderer, size = fig.canvas.get_renderer(), 0.92 * axes.xaxis.label.get_size()
    texts = [axes.text(0, 0, plain(name), fontsize=size, zorder=5) for name in names]
    extents = [t.get_window_extent(renderer) for t in texts]
    where = axes.transData.transform(xy)
    ends = axes.transData.transform(strokes.reshape(-1, 2)).reshape(-1, 2, 2)
    obstacles = np.concatenate([ends.min(1) - 1.5, ends.max(1) + 1.5], 1)
    frame = axes.get_window_extent(renderer).extents
    scale = fig.dpi / 72
    boxes = place_labels(
        where / scale,
        [(e.width / scale, e.height / scale) for e in extents],
        frame / scale,
        obstacles / scale,
    )
    back = axes.transData.inverted()
    for text, box, point in zip(texts, boxes * scale, where, strict=True):
        centre = (box[:2] + box[2:]) / 2
        text.set(ha="center", va="center", position=back.transform(centre))
        near = np.clip(point, box[:2], box[2:])
        if np.hypot(*(near - point)) > 11 * scale:
            ends = back.transform([point, near])
            axes.plot(ends[:, 0], ends[:, 1], color=MUTED, lw=0.7, zorder=1.5, scalex=False, scaley=False)


def trade_off_svg(
    points: Sequence[Point],
    *,
    y_label: str,
    lower_is_better: bool,
    name: str,
    width: float,
    height: float,
    what: str = "object",
) -> str:
    """The plot as SVG, ``width`` x ``height`` inches at 96 px; empty when nothing was timed."""
    shown = [p for p in points if np.isfinite([p.ms, p.value]).all() and p.ms > 0]
    if not shown:
        return ""
    with figure(width, height, name) as fig:
        axes = fig.add_subplot()
        draw_trade_off(axes, shown, y_label=y_label, lower_is_better=lower_is_better, what=what)
        return to_svg(fig, name, f"{y_label} against milliseconds per {what} for {len(shown)} methods")


def abridged(name: str, most: int) -> str:
    """A long name without its middle."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def shares_svg(
    curves: Mapping[str, tuple[Array, Array]],
    *,
    x_label: str,
    y_label: str,
    label: str,
    name: str,
    width: float,
    height: float,
) -> str:
    """Shares (0..1, shown as 0..100) over x, a line per method; ``label`` is read out instead."""
    if not curves:
        return ""
    wide = width > 5
    columns = 1 if wide or max(map(len, curves)) > 22 else 2
    with figure(width, height, name) as fig:
        axes = fig.add_subplot()
        for i, (method, (x, y)) in enumerate(curves.items()):
            color, dash = style_of(i)
            label = plain(abridged(method, LONGEST if wide else LONGEST // 2))
            axes.plot(x, 100 * np.asarray(y), color=color, ls=dash, lw=1.6, label=label)
        ends = [(float(np.min(x)), float(np.max(x))) for x, _ in curves.values()]
        axes.set_xlim(min(low for low, _ in ends), max(high for _, high in ends) or 1)
        axes.set_ylim(0, 100)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        place = "outside right upper" if wide else "outside lower center"
        fig.legend(loc=place, fontsize=8, ncols=columns, handlelength=2.6)
        return to_svg(fig, name, label)


def history_svg(
    histories: Mapping[str, Sequence[float]],
    *,
    title: str,
    name: str,
    width: float = 3.6,
    height: float = 2.5,
) -> str:
    """Training curves of one quantity, a line per method; NaN leaves a gap."""
    with figure(width, height + 0.18 * len(histories), name, font=8.5) as fig:
        axes = fig.add_subplot()
        low = np.inf
        for i, (method, values) in enumerate(histories.items()):
            y = np.asarray(values, float)
            y = np.where(np.isfinite(y), y, np.nan)
            color, dash = style_of(i)
            marker = "o" if np.isfinite(y).sum() == 1 else None
            axes.plot(
                np.arange(1, len(y) + 1), y, color=color, ls=dash, lw=1.5, marker=marker, label=plain(method)
            )
            low = min(low, float(np.nanmin(y)) if np.isfinite(y).any() else np.inf)
        if 0 < low < np.inf:
            log_values(axes)
        axes.set_title(plain(title), fontsize=9, loc="left")
        axes.set_xlabel("epoch or stage")
        axes.xaxis.get_major_locator().set_params(integer=True)
        fig.legend(loc="outside lower left", fontsize=7.5)
        return to_svg(fig, name, f"Training curve: {title}")


def overview_png(
    points: Sequence[Point],
    strip: Sequence[tuple[str, Array]],
    *,
    title: str,
    y_label: str,
    lower_is_better: bool,
    what: str = "object",
) -> bytes:
    """One picture for a README: the trade-off above a strip of captioned pictures (BGR), as PNG bytes."""
    shown = [p for p in points if np.isfinite([p.ms, p.value]).all() and p.ms > 0]
    with figure(10, 7.6 if strip else 5.4, "overview", font=10) as fig:
        fig.set_facecolor("white")
        rows = fig.subfigures(2, 1, height_ratios=(2.6, 1)) if strip else [fig.subfigures(1, 1)]
        if strip:
            panels = np.atleast_1d(rows[1].subplots(1, len(strip)))
            for axes, (caption, image) in zip(panels, strip, strict=True):
                axes.imshow(image[:, :, ::-1])
                axes.set_axis_off()
                axes.set_title(plain(caption), fontsize=8)
        axes = rows[0].subplots()
        axes.set_title(plain(title), loc="left", fontsize=11)
        if shown:
            draw_trade_off(axes, shown, y_label=y_label, lower_is_better=lower_is_better, what=what)
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no method was timed", ha="center", transform=axes.transAxes)
        out = io.BytesIO()
        fig.savefig(out, format="png", dpi=110, metadata={"Software": None})
        return out.getvalue()
