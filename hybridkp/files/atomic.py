"""Whole files or none: every file that hybridkp writes is written here.

A file is written under a temporary name in its own folder, flushed to the disk and renamed; a
full disk or Ctrl-C leaves the old file, or nothing.  Formats never live here.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..structures import InputError
from .lease import PATIENCE, alive, here, seconds_since, temporary_prefix

_TEMPORARY = re.compile(r"\..*\.hybridkp-([0-9a-f]{8})-(\d+)-[^.]*\.part")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the body succeeds.

    The folder is made when it is missing.  On any exception the temporary file is removed.

    Raises
    ------
    InputError
        When the file cannot be written (full disk, no permission, a folder of that name).
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = temporary_prefix(path.name)  # for remove_leftovers
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush(temporary)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, path)
        temporary = None
        _flush(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be written ({reason}): free space or give another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def put_in_place(grown: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Give a file that has grown beside its place, and is whole now, the name that readers look for."""
    _flush(Path(grown))
    os.replace(grown, path)
    _flush(Path(path).parent)


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write ``data`` to ``path``, whole or not at all; see :func:`atomic_path`.

    Text is written as UTF-8; what is no character (a byte of a file's name, say) as an escape.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove our temporary files in ``folder`` and below whose writer is dead.

    A process that is killed outright (SIGKILL, power cut) cannot tidy up; the next run does.  Their
    names say which machine and process wrote them; one that cannot be seen from here has
    :data:`~hybridkp.files.lease.PATIENCE` seconds.
    """
    for path in list(Path(folder).rglob(".*.part")):
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or not path.is_file() or path.is_symlink():
            continue
        seen = found[1] == here()
        with suppress(OSError):
            if not alive(int(found[2])) if seen else seconds_since(path) > PATIENCE:
                path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    """fsync of a file, or of a folder so that the rename itself is on the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
