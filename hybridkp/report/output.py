"""Where a report's files come from and go: provenance for the end of the page, and the folder.

The only file of this room that writes; every file goes through ``files.write_atomic``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files import write_atomic
from ..files.machines import processor
from ..structures import InputError
from .cells import PROTECTED


def about_page(
    facts: Mapping[str, str], provenance: Mapping[str, Any], made: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Facts of the data, then of the run as given, then date, machine and the ``made`` runs' versions.

    What is empty is left out.
    """
    from .. import __version__

    out = {**facts, **{str(k): str(v) for k, v in provenance.items()}}
    if not any(k.lower() == "date" for k in out):
        out["date"] = date.today().isoformat()
    versions = _versions(made)
    system = versions.pop("machine", "")
    if not any(k.lower() == "machine" for k in out):
        out["machine (that wrote this page)"] = _machine()
    out["system"] = system
    out["versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    out["report written by"] = f"hybridkp {__version__}"
    return {k: v for k, v in out.items() if v}


def load_words(loads: Iterable[float]) -> str:
    """The machine's load while runs were timed; "" where nobody knows.

    >>> load_words([0.2, 1.34, float("nan")]), load_words([])
    ('0.2 to 1.3 per core', '')
    """
    known = sorted({f"{load:.1f}": load for load in loads if math.isfinite(load)}.values())
    ends = [f"{load:.1f}" for load in known[:: max(1, len(known) - 1)]]
    return f"{' to '.join(ends)} per core" if ends else ""


def to_frame(paths: str | os.PathLike[str] | Mapping[str, Path], kind: str = "csv") -> Any:
    """A CSV file of a report as a pandas frame, its numbers unrounded.

    Parameters
    ----------
    paths : a file, or what a report has written: kind -> path
    kind : which of them: "csv" (a line a method), "pairs" (a line for each two methods), "objects" (a line
        for each method and object)

    Raises
    ------
    InputError
        Without pandas, for a kind that was not written, and for a file that cannot be read.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("a frame needs pandas: pip install 'hybridkp[formats]'") from None
    if isinstance(paths, Mapping):
        tables = [name for name, path in paths.items() if Path(path).suffix == ".csv"]
        if kind not in tables:
            raise InputError(f"no table {kind!r} was written, only {', '.join(tables)}")
        paths = paths[kind]
    try:
        frame = pandas.read_csv(paths)
    except (OSError, ValueError) as error:
        raise InputError(f"{paths}: is no table ({' '.join(str(error).split())[:200]})") from None
    for name in frame.select_dtypes(include=["object", "string"]):
        frame[name] = frame[name].str.replace(PROTECTED, r"\1", regex=True)
    return frame


def write_files(folder: Path, files: Mapping[str, tuple[str, str | bytes]]) -> dict[str, Path]:
    """Kind -> (name, content) into ``folder``, made when it is missing; kind -> path."""
    paths = {}
    for kind, (name, data) in files.items():
        paths[kind] = folder / name
        write_atomic(paths[kind], data)
    return paths


def links(files: Mapping[str, str | os.PathLike[str]], folder: Path) -> dict[str, str]:
    """Name -> address as seen from a page in the folder, of the files that move along with it."""
    inside = {name: Path(os.path.relpath(path, folder)) for name, path in files.items()}
    return {name: quote(path.as_posix()) for name, path in inside.items() if path.parts[0] != ".."}


def _machine() -> str:
    """The processor's name and how many cores this process may count on."""
    return f"{processor()}, {os.cpu_count()} cores"


def _versions(made: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each package with the version, or versions, that the predictions were made with."""
    out: dict[str, list[str]] = {}
    for one in made:
        for name, value in one.items():
            seen = out.setdefault(str(name), [])
            if str(value) not in seen:
                seen.append(str(value))
    return {name: "; ".join(values) for name, values in sorted(out.items())}
