"""Who still works on a folder: leases, and scratch folders that only a dead owner loses.

A lease is a small file that says who holds it (host, boot, process) and whose time stamp is its
heartbeat.  On one machine a lease is judged by its process; from another machine or container, where
the process cannot be seen, by its heartbeat.  Nothing is ever removed that does not carry a lease of
ours inside and lie directly in the folder that was named.  A run's own folder has another mark, and is never
removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..structures import InputError

BEAT = 20.0  #: seconds between heartbeats
PATIENCE = 900.0  #: seconds without a heartbeat after which an owner that cannot be seen counts as dead
LOOK = 0.2  #: seconds between two looks of those who wait their turn
LEASE = "hybridkp-lease.json"  #: inside every scratch folder
RUN = "hybridkp-run.json"  #: inside a folder that a run works in, while it does

_WORKING: ContextVar[frozenset[Path]] = ContextVar("hybridkp_working", default=frozenset())


class Held(InputError):
    """Somebody else holds the lease."""


@lru_cache
def machine() -> str:
    """What processes must share to see each other: host, boot and process namespace."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
    with suppress(OSError):
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return "/".join(parts)


@lru_cache
def here() -> str:
    """8 hex digits of :func:`machine`, for names of files."""
    return hashlib.sha256(machine().encode()).hexdigest()[:8]


def temporary_prefix(name: str) -> str:
    """How the name of a temporary file of this process begins; it ends in ``.part`` (``atomic.py``)."""
    return f".{name[:80]}.hybridkp-{here()}-{os.getpid()}-"


def alive(pid: int, started: str = "") -> bool:
    """Whether that process of this machine runs; ``started`` tells it from a later one of its number."""
    if os.name != "posix":
        return True  # no harmless way to ask
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not started or _started(pid) in ("", started)


def abandoned(path: Path) -> bool:
    """Whether ``path`` is a lease of ours whose owner is dead; False for anything else.

    An owner on this machine is asked for; another one is dead when its heartbeat, by the clock of the
    disk that holds it, stopped :data:`PATIENCE` seconds ago.
    """
    owner = _owner(path)
    if owner is None:
        return False
    if owner["machine"] == machine() and os.name == "posix":  # elsewhere nobody can be asked
        return not alive(owner["pid"], owner["started"])
    return seconds_since(path) > PATIENCE


@contextmanager
def hold(path: str | os.PathLike[str], beat: float = BEAT) -> Iterator[Path]:
    """Hold the lease ``path`` while the body runs; a dead owner's is taken over.

    Raises
    ------
    Held
        When somebody who lives holds it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be made ({error.strerror}): choose another folder") from None
    text = json.dumps(
        {"hybridkp": 1, "machine": machine(), "pid": os.getpid(), "started": _started(os.getpid())}
    )
    _create(path, text)
    stop = threading.Event()

    def beats() -> None:
        while not stop.wait(beat):
            with suppress(OSError):
                os.utime(path)

    threading.Thread(target=beats, daemon=True).start()
    try:
        yield path
    finally:
        stop.set()
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


@contextmanager
def hold_in_turn(path: Path, beat: float = BEAT, look: float = LOOK) -> Iterator[None]:
    """:func:`hold`, once whoever holds it now, on whatever machine, has let it go or is dead.

    What is no lease, and stays none, keeps nobody waiting: the body then runs without.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(path, beat))
                break
            except Held:
                if path.is_dir() or (_owner(path) is None and seconds_since(path) > PATIENCE):
                    break
                time.sleep(look)
        yield


@contextmanager
def work_in(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Only this run writes in ``folder`` while the body runs; what it calls may ask for the same again.

    Raises
    ------
    Held
        When another process, or another thread of this one, works there.
    """
    path = Path(folder).absolute()
    working = _WORKING.get()
    if path in working:
        yield Path(folder)
        return
    with hold(path / RUN):
        token = _WORKING.set(working | {path})
        try:
            yield Path(folder)
        finally:
            _WORKING.reset(token)


@contextmanager
def scratch_folder(cache: str | os.PathLike[str], name: str, beat: float = BEAT) -> Iterator[Path]:
    """A fresh folder ``cache/name-...`` for this process, gone when the body ends."""
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache))
    except OSError as error:
        raise InputError(f"{cache}: cannot be written ({error.strerror}): choose another folder") from None
    try:
        with hold(folder / LEASE, beat):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(cache: str | os.PathLike[str]) -> list[Path]:
    """Remove the scratch folders directly in ``cache`` whose owner is dead; what was removed.

    A process that is killed outright (SIGKILL, power cut) cannot tidy up; the next run does.  A folder
    without our lease in it is somebody else's, whatever its name.
    """
    gone = []
    for folder in sorted(Path(cache).iterdir()) if Path(cache).is_dir() else ():
        if not folder.is_symlink() and folder.is_dir() and abandoned(folder / LEASE):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone


def _create(path: Path, text: str) -> None:
    """Write a lease that was not there, or whose owner is dead; it is there with its text, or not at all."""
    for _ in range(2):
        try:
            _write_new(path, text)
            return
        except FileExistsError:
            if not abandoned(path):
                break
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        _take_away(path)
    raise Held(f"{path.parent}: another process works there ({_who(path)}): wait, or choose another folder")


def _write_new(path: Path, text: str) -> None:
    """:class:`FileExistsError` where there is one; a kill or a full disk leaves none."""
    temporary = path.with_name(f"{temporary_prefix(path.name)}{uuid.uuid4().hex}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # a file system without links
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
    finally:
        temporary.unlink(missing_ok=True)


def _take_away(path: Path) -> None:
    """Remove a dead owner's lease; what somebody who was quicker has written since goes back."""
    aside = path.with_name(f"{temporary_prefix(path.name)}{uuid.uuid4().hex}.part")
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        if not abandoned(aside):
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 10_000:
            return None
        value = json.loads(path.read_text(encoding="utf-8"))
        known = {"hybridkp": int, "machine": str, "pid": int, "started": str}
        if not all(isinstance(value[name], kind) for name, kind in known.items()):
            return None
        if not 0 < value["pid"] < 2**31:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return dict(value)


def _who(path: Path) -> str:
    owner = _owner(path)
    if owner is None:
        return f"if none does, remove {path}"
    return f"process {owner['pid']} on {owner['machine'].split('/')[0]}, {seconds_since(path):.0f} s ago"


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def seconds_since(path: Path) -> float:
    """Seconds since the last heartbeat, by the clock of the disk: that of two machines may differ."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            now = os.fstat(probe.fileno()).st_mtime
        return now - path.stat().st_mtime
    except OSError:
        return 0.0
