"""A call carried out on whatever machine an executor chose: checked, in a process of its own, watched.

The executor's own worker is never ended, and nothing of it is changed: it starts a process, which does
the call, and gives its outcome back.  That process ends with its worker and with the run it belongs to.
What it is sent comes from the process that it serves, as with any executor; no file is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib.externals.loky.backend.reduction import dumps, loads  # as joblib sends work to its processes

from .. import __version__
from ..files import write_atomic
from ..files.lease import LEASE, abandoned
from ..structures import Array, InputError
from .processes import bounded_threads, end_soon, host, one_line, start_worker

MOST_TRIES = 3  #: of a call whose process, or whose worker, dies
LOOK = 2.0  #: seconds between two looks at whether the run goes on
_PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-image", "torch", "onnxruntime")
_CHILD = "from hybridkp.evaluate.remote import serve; serve()"


@dataclass(frozen=True)
class Order:
    """What a worker is asked for."""

    call: bytes  #: (function, arguments), pickled
    folder: str  #: of the run, with its lease; all machines see it at this path
    number: int  #: of the call in the run
    cwd: str  #: where relative paths begin
    versions: Mapping[str, str]  #: of :func:`environment`


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    host: str
    value: bytes = b""  #: pickled
    error: str = ""  #: one line; "" = all is well
    traceback: str = ""
    input_error: bool = False  #: a mistake of the user's, said in that line
    died: bool = False  #: the process ended without a word: out of memory, a crash of native code


@lru_cache
def environment() -> dict[str, str]:
    """Name -> version of all that decides a figure; machines that differ in one do not share a table."""
    found = {"python": platform.python_version(), "opencv": cv2.__version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return {"hybridkp": f"{__version__} ({_source_digest()})", **found}


def _source_digest() -> str:
    """8 hex digits of every file of this package that Python or a network reads."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".onnx", ".hkp"):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


# --------------------------------------------------------------------------------------------
# in the executor's worker
# --------------------------------------------------------------------------------------------


def carry_out(order: Order) -> Outcome:
    """The outcome of an order; never raises for what the call does, and never ends this process."""
    folder = Path(order.folder)
    if not (folder / LEASE).is_file():
        return _refused(
            f"{folder} is not there: the folder for results has to be one that all machines see at the same"
            " path (or the run is over)"
        )
    tries = folder / f"tries-{order.number}"
    hosts = [p.read_text(encoding="utf-8") for p in sorted(tries.glob("*-*"))]
    if len(hosts) >= MOST_TRIES:
        return _refused(f"its worker, or its process, died {len(hosts)} times (on {', '.join(hosts)})")
    tries.mkdir(exist_ok=True)
    write_atomic(tries / f"{len(hosts)}-{uuid.uuid4().hex[:8]}", host())
    paths = os.pathsep.join(os.path.abspath(p) for p in sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **bounded_threads(), "PYTHONPATH": paths},
        cwd=order.cwd if os.path.isdir(order.cwd) else None,
    ) as process:
        try:
            answer, words = process.communicate(dumps(order))
        except BaseException:
            process.kill()
            raise
    try:
        outcome = loads(answer) if answer else None
    except Exception:  # cut short
        outcome = None
    return outcome if isinstance(outcome, Outcome) else _death(process.returncode, words)


def _refused(why: str) -> Outcome:
    return Outcome(host(), error=f"worker on {host()}: {why}", input_error=True)


def _death(code: int, words: bytes) -> Outcome:
    how = f"exit status {code}"
    if code < 0:
        how = f"signal {signal.Signals(-code).name}" if -code in list(signal.Signals) else f"signal {-code}"
    last = words.decode(errors="replace")[-2000:]
    return Outcome(host(), error=f"its process died ({how})", traceback=last, died=True)


# --------------------------------------------------------------------------------------------
# in the call's own process
# --------------------------------------------------------------------------------------------


def serve() -> None:
    """Read an order from standard input, do it, and write its outcome where standard output was."""
    start_worker(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)  # what anybody prints is no outcome
        order = loads(sys.stdin.buffer.read())
        _end_with_the_run(Path(order.folder) / LEASE)
        answer.write(dumps(_outcome(order)))
    end_soon()


def _outcome(order: Order) -> Outcome:
    here = environment()
    other = [f"{n} {here.get(n)} (asked for: {v})" for n, v in order.versions.items() if here.get(n) != v]
    if other:
        return _refused(f"has {', '.join(other)}: install the same on all machines")
    try:
        work, arguments = loads(order.call)
        return Outcome(host(), bytes(dumps(work(*arguments))))
    except Exception as error:
        lost = "" if os.path.isdir(order.cwd) else f", which has no folder {order.cwd}"
        return Outcome(
            host(),
            error=f"{one_line(error)} (on {host()}{lost})",
            traceback="".join(traceback.format_exception(error)),
            input_error=isinstance(error, InputError),
        )


def _end_with_the_run(lease: Path) -> None:
    """End this process once whoever asked for its work is gone, or does not want it any more."""

    def watch() -> None:
        looks = misses = 0
        while misses < 3 and not (looks % 15 == 14 and abandoned(lease)):  # a disk of the net may blink
            time.sleep(LOOK)
            looks, misses = looks + 1, 0 if lease.is_file() else misses + 1
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def unpacked(outcome: Outcome) -> Any:
    """What the call returned."""
    return loads(outcome.value)


def packed(value: Any, reducers: Mapping[type, Callable[[Any], Any]]) -> bytes:
    """A call, or a result, as bytes; ``reducers``: type -> how it is told apart from the rest."""
    return bytes(dumps(value, reducers=dict(reducers)))


def mapped(path: str) -> Array:
    """An array file, mapped into memory: its rows are read when they are asked for."""
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
