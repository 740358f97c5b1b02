"""Work sent to others' machines: by anything with ``submit(function, argument) -> future``.

The contract is that of ``concurrent.futures``: a future has ``done()``, ``result()`` and ``cancel()``.  A
Dask cluster's address or client is taken as it is; this is the only place that knows Dask.  What is sent
is an order (:mod:`.remote`); large arrays go through the folder of results, which all machines see.
Nothing is computed here.
"""

from __future__ import annotations

import mmap
import os
import time
from asyncio import CancelledError
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from joblib.parallel import get_active_backend

from ..files import atomic_path
from ..files.lease import clear_abandoned, scratch_folder
from ..structures import Array, InputError
from .processes import RemoteError, in_processes, one_line
from .remote import MOST_TRIES, Order, Outcome, carry_out, environment, mapped, packed, unpacked

LARGE = 2**20  #: bytes from which on an array is not sent but read from the disk
PATIENCE = 10.0  #: seconds for a scheduler to answer
VISIBLE = 90.0  #: seconds until what one machine has written is seen by another, at most


class AnyExecutor(Protocol):
    """What is asked of an executor; the future has ``done()``, ``result()`` and ``cancel()``."""

    def submit(self, function: Callable[[Any], Any], argument: Any, /) -> Any: ...


class _Words(Exception):
    """A traceback of another process, as the cause of an exception here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@contextmanager
def opened(executor: AnyExecutor | str) -> Iterator[AnyExecutor]:
    """What can be submitted to; a connection that is made here is closed at the end."""
    with ExitStack() as stack:
        its: Any = stack.enter_context(_dask(executor)) if isinstance(executor, str) else executor
        if type(its).__module__.split(".")[0] == "distributed" and hasattr(its, "get_executor"):
            its = its.get_executor(pure=False)  # a client: every call is one of its own
        if not callable(getattr(its, "submit", None)):
            kind = type(its).__name__
            raise InputError(f"a {kind} is no executor: it has no submit(function, argument)")
        yield its


def _dask(address: str) -> Any:
    scheme, _, place = address.partition("://")
    if scheme != "dask" or not place:
        raise InputError(f"{address}: no executor's address; give dask://HOST:PORT")
    try:
        from distributed import Client
    except ImportError:
        raise InputError(f"{address}: needs Dask: pip install 'hybridkp[cluster]'") from None
    try:
        return Client(f"tcp://{place}", timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: no scheduler answers there ({one_line(error)})") from None


@contextmanager
def elsewhere(
    executor: AnyExecutor | str | None, out: str | os.PathLike[str], needed: bool = True
) -> Iterator[Elsewhere | None]:
    """Where calls of one run are carried out, with a folder in ``out/cache``.

    None without an executor, and where none is ``needed``.  A backend of joblib's for other machines is
    refused: nobody here would send it anything.
    """
    backend = type(get_active_backend()[0])
    if executor is None and backend.__module__ != "joblib._parallel_backends":
        raise InputError(
            f"joblib's {backend.__name__} gets no work of ours: give the cluster as executor=, such as a Dask"
            " client"
        )
    if executor is None or not needed:
        yield None
        return
    cache = Path(out).absolute() / "cache"
    with opened(executor) as its, scratch_folder(cache, "executor") as folder:
        clear_abandoned(cache)
        places = Elsewhere(its, folder)
        try:
            yield places
        finally:
            places.stop()


class Elsewhere:
    """Calls of one run on an executor's machines; ``folder`` is one that all of them see."""

    queues = True  #: what is started may have to wait for a machine

    def __init__(self, executor: AnyExecutor, folder: Path) -> None:
        self.executor, self.folder = executor, folder
        self.errands: list[Errand] = []
        self._kept: dict[int, tuple[Array, Path]] = {}

    def start(self, work: Callable[..., Any], *arguments: Any) -> Errand:
        """Ask for ``work(*arguments)``."""
        call = packed((work, arguments), {np.ndarray: self._by_path, np.memmap: self._by_path})
        order = Order(call, str(self.folder), len(self.errands), os.getcwd(), environment())
        self.errands.append(Errand(self.executor, order))
        return self.errands[-1]

    def ended(self, running: Collection[Errand]) -> list[Errand]:
        """Those that have come to an end; waits a little where none has."""
        left = [e.future for e in running if e.outcome is None]
        if all(isinstance(f, Future) for f in left):
            wait(left, timeout=0.3, return_when=FIRST_COMPLETED)
        elif not any(f.done() for f in left):
            time.sleep(0.3)
        return [errand for errand in running if errand.done()]

    def finish(self, errand: Errand) -> BaseException | None:
        """Why it failed; None where it did not."""
        return errand.error()

    def stop(self) -> None:
        """Take back what has not begun; what runs ends when the run's folder goes."""
        for errand in self.errands:
            errand.cancel()

    def map(
        self, work: Callable[..., Any], calls: Iterable[tuple[Any, ...]], ordered: bool = True
    ) -> Generator[Any, None, None]:
        """``work(*arguments)`` of each call, in their order or as they end."""
        running = [self.start(work, *arguments) for arguments in calls]
        while running:
            ended = [e for e in self.ended(running) if not ordered or e is running[0]]
            for errand in ended:
                running.remove(errand)
                error = errand.error()
                if error is not None:
                    raise error
                yield unpacked(errand.outcome)

    def _by_path(self, array: Array) -> Any:
        """How an array is sent: a large one as the path of its file."""
        if array.nbytes >= LARGE and not array.dtype.hasobject:
            return mapped, (str(self._file_of(array)),)
        return np.asarray(array).__reduce__()

    def _file_of(self, array: Array) -> Path:
        """A file with the array: the one that it is mapped from, or a new one."""
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.mode != "c":
            path = Path(array.filename or "").absolute()
            with suppress(OSError, ValueError):
                ours = path.is_relative_to(self.folder.parents[1])  # others' folders may not be shared
                if ours and (its := mapped(str(path))).shape == array.shape and its.dtype == array.dtype:
                    return path
        if id(array) not in self._kept:
            path = self.folder / f"{len(self._kept)}.npy"
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
            self._kept[id(array)] = array, path  # kept alive, so that its id stays its own
        return self._kept[id(array)][1]


class Errand:
    """One call on its way; when its process or its worker dies it is sent again, twice at most."""

    def __init__(self, executor: AnyExecutor, order: Order) -> None:
        self.executor, self.order = executor, order
        self.outcome: Any = None
        self.died: list[Outcome] = []
        self._send()

    def _send(self) -> None:
        try:
            self.future = self.executor.submit(carry_out, self.order)
        except Exception as error:
            raise InputError(f"the executor takes no work ({one_line(error)}): start it again") from error

    def done(self) -> bool:
        """Whether it is known what became of the call."""
        if self.outcome is None and self.future.done():
            found = _outcome(self.future)
            if found.died and len(self.died) < MOST_TRIES - 1:
                self.died.append(found)
                self._send()
            else:
                self.outcome = found
        return self.outcome is not None

    def error(self) -> BaseException | None:
        """Why it failed; None where it did not."""
        found: Outcome = self.outcome
        if not found.error:
            return None
        words = found.error
        if found.died:
            hosts = ", ".join(o.host for o in (*self.died, found) if o.host)
            words += f", {len(self.died) + 1} times{f' (on {hosts})' if hosts else ''}"
        error = InputError(words) if found.input_error else RemoteError(words)
        error.__cause__ = _Words(found.traceback) if found.traceback else None
        return error

    def cancel(self) -> None:
        if self.outcome is None:
            with suppress(Exception):
                self.future.cancel()


def _outcome(future: Any) -> Outcome:
    """What a future that is done holds; an executor's own failure counts as a death of its worker."""
    try:
        found = future.result()
    except (CancelledError, futures.CancelledError):  # not by us
        raise InputError(
            "the executor has given its work up, is its scheduler gone? What is finished is kept: start it"
            " again, and give the same command"
        ) from None
    except Exception as error:
        words = one_line(error)
        if isinstance(error, ImportError | AttributeError) or "deserializ" in words:
            cure = "install the same hybridkp on all machines, the scheduler's too"
            return Outcome("", error=f"not understood there: {cure} ({words[:100]})", input_error=True)
        return Outcome("", error=f"its worker was lost ({words})", died=True)
    if not isinstance(found, Outcome):
        return Outcome("", error=f"the executor gave a {type(found).__name__} back", input_error=True)
    return found


def run_calls(
    work: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    n_workers: int,
    places: Elsewhere | None,
    ordered: bool = True,
) -> Generator[Any, None, None]:
    """``work(*arguments)`` of each call: in processes here, or on the executor's machines."""
    if places is not None:
        return places.map(work, calls, ordered)
    return in_processes(work, calls, n_workers, ordered)


def until_visible(path: Path) -> Path:
    """The path, once this machine sees what another one says to have written there."""
    end = time.monotonic() + VISIBLE
    while not path.exists() and time.monotonic() < end:
        with suppress(OSError):
            os.listdir(path.parent)  # a disk of the net looks again
        time.sleep(0.5)
    return path
