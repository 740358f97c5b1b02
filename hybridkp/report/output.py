"""Where a report's files come from and go: provenance for the end of the page, and the folder.

The only file of this room that writes; every file goes through ``files.write_atomic``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files import write_atomic
from ..files.machines import processor


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
