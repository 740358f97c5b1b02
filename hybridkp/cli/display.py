"""What commands say: one-line notes and bars on stderr, and results on stdout.

Nothing is computed here; predictions and matches come in, a report's files and its table go out.  Loading
this file loads nothing else.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..files import FoundBoxes, MatchedSet
    from ..structures import PairSet, Predictions, Problem

OK, FAILED = 0, 1  #: exit codes of a command that has come to its end
TABLE_NOTE = "what the columns mean is explained there"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def plain(table: str) -> str:
    """A Markdown table as a terminal shows it: names as they are given.

    >>> plain(r"| heatmap\\[input_px=96\\] | &lt;8 |")
    '| heatmap[input_px=96] | <8 |'
    """
    return re.sub(r"\\([\\|`*\[\]])", r"\1", table).replace("&lt;", "<").replace("&amp;", "&")


def provenance() -> dict[str, str]:
    """What a report says about how it came to be."""
    # bytes, as the terminal sent them, are UTF-8 also where the locale says otherwise
    words = [os.fsencode(word).decode("utf-8", "backslashreplace") for word in sys.argv[1:]]
    return {"command": " ".join(["hybridkp", *words]), "date": time.strftime("%Y-%m-%d")}


def told_of(names: Iterable[str], task: str = "landmarks") -> dict[str, Any]:
    """What a report is told of methods and of itself: ``families``, ``abouts`` and ``provenance``."""
    from .. import recipes

    known = [name for name in dict.fromkeys(names) if _is_method(name, task)]
    return {
        "families": {name: recipes.family(name, task) for name in known},
        "abouts": {name: recipes.describe_method(name, task) for name in known},
        "provenance": provenance(),
    }


def show_page(paths: Mapping[str, Path], note: str = "") -> None:
    """A written report's table, and where its page is."""
    print(plain(paths["markdown"].read_text(encoding="utf-8")).rstrip())
    print(f"\nReport: {paths['html']}{note}")


def show_report(predictions: Sequence[Predictions], problem: Problem, out: Path) -> None:
    """Write the landmarks' report and print its table."""
    from ..report import write_report

    result = write_report(
        predictions,
        problem.val,
        out,
        normalizer=problem.normalizer,
        models=_models(out),
        **told_of(p.method for p in predictions),
    )
    print(plain(result.to_markdown()))
    print(f"\nReport: {result.paths['html']} ({TABLE_NOTE})")


def _models(out: Path) -> dict[str, Path]:
    """The bench's models of seed 0, where it has some."""
    from ..evaluate import stored_models
    from ..structures import InputError

    try:
        return stored_models(out)
    except InputError:
        return {}


def show_pictures_report(
    found: Sequence[FoundBoxes],
    problem: Problem,
    out: Path,
    models: Mapping[str, Path] | None = None,
    task: str = "landmarks",
) -> None:
    """Write the report of finders, or of methods of whole pictures, and print its table."""
    from ..report import write_finders_report

    paths = write_finders_report(
        found,
        problem.val,
        out,
        models=models,
        normalizer=problem.normalizer,
        **told_of((f.finder for f in found), task),
    )
    show_page(paths)


def show_points_report(found: Sequence[MatchedSet], pairs: PairSet, out: Path) -> None:
    """Write the interest points' report and print its table."""
    from ..evaluate import stored_truth
    from ..report import write_points_report

    paths = write_points_report(
        found,
        pairs,
        out,
        registered=stored_truth(out, pairs),
        **told_of((m.method for m in found), "points"),
    )
    show_page(paths, f" ({TABLE_NOTE})")


def _is_method(name: str, task: str) -> bool:
    """Whether a name stored by some bench is one that the recipes know, and can say something about."""
    from .. import recipes
    from ..structures import InputError

    try:
        return bool(recipes.canonical(name, task))
    except InputError:
        return False


class Bar:
    """A bar on a terminal, elsewhere a line per step, or per tenth (``sparse``); bar(what, done, total)."""

    def __init__(self, unit: str, prefix: str = "", sparse: bool = False) -> None:
        from tqdm import tqdm

        self.prefix, self.sparse, self.said = prefix, sparse, ("", 0)
        self.bar = tqdm(file=sys.stderr, disable=None, leave=False, unit=unit)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.total, what = total, self.prefix + what
        tenth = (what, 10 * done // max(total, 1))
        if self.bar.disable and not (self.sparse and tenth == self.said):
            self.said = tenth
            say(f"[{done}/{total}] {what}")
        self.bar.set_description(what, refresh=False)
        self.bar.update(done - self.bar.n)


class Display:
    """A bench's progress: a bar on a terminal, a line per finished method elsewhere."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.total, self.done = total, 0
        self.failed: list[str] = []
        self.started: dict[tuple[str, int], float] = {}
        self.stages: dict[tuple[str, int], str] = {}
        self.bar = tqdm(total=total, file=sys.stderr, disable=None, leave=False, unit="method")

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, event: str, method: str, seed: int, detail: str) -> None:
        key = (method, seed)
        name = f"{method} (seed {seed})" if seed else method
        if event == "stale":
            self.bar.write(f"{name}: computed again, {detail}", file=sys.stderr)
        elif event == "start":
            self.started[key] = time.perf_counter()
            self.stages[key] = "starts"
        elif event == "stage":
            self.stages[key] = detail
        elif event == "timed":  # counted when it was done
            self.stages.pop(key, None)
        else:
            self.stages.pop(key, None)
            self.done += 1
            if event == "failed":
                self.failed.append(name)
            text = {"kept": "kept from before", "failed": f"FAILED: {detail}"}.get(event)
            text = text or f"{time.perf_counter() - self.started[key]:.0f} s"
            self.bar.write(f"[{self.done}/{self.total}] {name}: {text}", file=sys.stderr)
            self.bar.update()
        self.bar.set_description(", ".join(f"{m} {stage}" for (m, _), stage in self.stages.items()))


def ended(display: Display, out: Path) -> int:
    """Say which methods failed; the command's exit code."""
    for name in display.failed:
        say(f"hybridkp: {name} failed; its traceback is in {out / 'errors'}")
    return FAILED if display.failed else OK


def left_out(refused: Sequence[str]) -> int:
    """Say which pictures could not be read and are left out; the command's exit code."""
    for why in refused:
        say(f"hybridkp: left out: {why}")
    return FAILED if refused else OK


def steps(done: Iterable[Any], total: int, unit: str) -> None:
    """Run what yields once a step, with a bar on a terminal."""
    from tqdm import tqdm

    for _ in tqdm(done, total=total, unit=unit, disable=None):
        pass
