"""Jobs in processes of their own: started, watched, killed with their parent; failures kept as text.

Every bench runs its methods here, and says with the same words what is kept, stale, done or failed.
What a job does, and where its predictions lie, is the caller's business.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol, TypeVar

import joblib

from ..files import write_atomic
from ..files.machines import host as host
from ..files.machines import kind_of_machine
from ..memory.resident import load_per_core as load_per_core
from ..memory.resident import peak_bytes as peak_bytes
from ..memory.resident import reset_peak as reset_peak
from ..memory.threads import POOLS, fit_threads
from ..memory.threads import fits_with as fits_with
from ..structures import InputError
from ..structures.base import Progress as Progress

#: what a bench tells while it works, called as progress(event, method, seed, detail).  For each method
#: and seed, in this order: "kept" (stored predictions are good, nothing to do; the end) or "stale" (stored
#: ones are not used; detail says why); "start" (its process starts); "stage" (detail: what it does
#: now), whenever that changes; then "done" (predictions are stored) or "failed" (detail: why, in a line).
#: With several jobs the clock follows at the end, also for what was kept without one: "start",
#: "stage" and "timed" (or "failed").
BenchProgress = Callable[[str, str, int, str], None]

LAST_WORDS = 30.0  #: seconds that a process whose work is done may take to end


class AnyJob(Protocol):
    """What is asked of a job here; it is sent to the process, so it must pickle."""

    @property
    def method(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def stage(self) -> Path: ...  # the job writes there what it is about
    @property
    def log(self) -> Path: ...


SomeJob = TypeVar("SomeJob", bound=AnyJob)
Stored = TypeVar("Stored")
Result = TypeVar("Result")

STARTS = "starts"  #: the stage of a job that has said nothing yet


class RemoteError(RuntimeError):
    """A call raised an exception on another machine; the message says which, and where."""


class Places(Protocol):
    """Where jobs are carried out: processes of ours, or an executor's machines (:mod:`.executors`)."""

    queues: bool  #: whether what is started may have to wait

    def start(self, work: Callable[..., Any], *arguments: Any) -> Any: ...
    def ended(self, running: Collection[Any]) -> list[Any]: ...
    def finish(self, handle: Any) -> BaseException | None: ...
    def stop(self) -> None: ...


def run_jobs(
    jobs: Sequence[SomeJob],
    run: Callable[[SomeJob], None],
    n_workers: int,
    tell: BenchProgress,
    out: Path,
    done: Callable[[SomeJob], None],
    places: Places | None = None,
) -> list[str]:
    """Run each job in a fresh process, ``n_workers`` at a time; ``done(job)`` for those that succeed.

    An executor's ``places`` are given all at once.  Returns a line for each that failed; its traceback
    lies in ``out/errors``.
    """
    failed = []
    for job, error in _run_all(jobs, run, n_workers, tell, places or _OwnProcesses()):
        where = error_path(out, job.method, job.seed)
        if error is None:
            where.unlink(missing_ok=True)
            done(job)
        else:
            write_atomic(where, "".join(traceback.format_exception(error)))
            failed.append(f"{job.method}: {one_line(error)}")
            tell("failed", job.method, job.seed, one_line(error))
    return failed


def in_processes(
    work: Callable[..., Result], calls: Iterable[tuple[Any, ...]], n_workers: int, ordered: bool = True
) -> Generator[Result, None, None]:
    """``work(*arguments)`` of each call as they end; one worker is this process.

    Whatever ends this (Ctrl-C, a kill) ends the workers.
    """
    jobs = (joblib.delayed(work)(*arguments) for arguments in calls)
    pool = joblib.Parallel(
        n_jobs=n_workers,
        return_as="generator" if ordered else "generator_unordered",
        pre_dispatch="n_jobs",
        initializer=start_worker,
        initargs=(os.getpid(),),
    )
    with _deaf_to_ctrl_c():
        found = pool(jobs)
    with closing(found):
        yield from found


def still_good(
    path: Path,
    load: Callable[[Path], Stored],
    method: str,
    seed: int,
    params: Mapping[str, Any],
    fingerprint: str,
    tell: BenchProgress,
) -> Stored | None:
    """What is stored of this method, seed, data and parameters; None, and the reason told, otherwise."""
    if not path.exists():
        return None
    try:
        found: Any = load(path)
    except InputError as error:
        tell("stale", method, seed, one_line(error))
        return None
    changed = [k for k in params if dict(found.params).get(k) != params[k]]
    if found.fingerprint != fingerprint:
        changed.append("data")
    if changed or getattr(found, "label", found.method) != method or found.seed != seed:
        tell("stale", method, seed, f"{', '.join(changed) or 'name'} changed")
        return None
    tell("kept", method, seed, "")
    kept: Stored = found
    return kept


def check_items(methods: Any, what: str = "method") -> list[tuple[str, Any]]:
    """(name, thing) of a mapping or a sequence; :class:`InputError` for none and for a name given twice."""
    items = list(methods.items()) if isinstance(methods, Mapping) else list(methods)
    names = [name for name, _ in items]
    if not items:
        raise InputError(f"no {what}s: name at least one")
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise InputError(f"the {what} {twice[0]!r} is named twice")
    return items


def error_path(out: Path, method: str, seed: int) -> Path:
    """Where the traceback of a failed method is kept."""
    return out / "errors" / f"{file_name(method)}-{seed}.txt"


def file_name(method: str) -> str:
    """The method's name where it can name a file; else a readable part and a hash."""
    safe = re.sub(r"[^A-Za-z0-9+_.-]+", "_", method).strip(".")[:80]
    if safe == method:
        return safe
    return f"{safe or 'method'}~{hashlib.sha256(method.encode()).hexdigest()[:6]}"


def one_line(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, InputError | RemoteError) else f"{type(error).__name__}: {text}"


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has under an affinity mask or a quota.

    A network that starts a thread for each core of the machine, and gets one of them, is ten times
    as slow as with one thread (measured).
    """
    return max(1, int(joblib.cpu_count()))


def count_workers(n_jobs: int) -> int:
    """Processes at a time; negative = one per core, or fewer where fits take several threads each."""
    return max(1, usable_cores() // fit_threads() if n_jobs < 0 else int(n_jobs))


def warn_failures(event: str, method: str, seed: int, detail: str) -> None:
    """The progress of those who gave none."""
    if event == "failed":
        warnings.warn(f"{method} (seed {seed}) failed: {detail}", RuntimeWarning, stacklevel=3)


def _run_all(
    jobs: Sequence[SomeJob],
    run: Callable[[SomeJob], None],
    n_workers: int,
    tell: BenchProgress,
    places: Places,
) -> Iterator[tuple[SomeJob, BaseException | None]]:
    """(job, error or None) as they end.

    Whatever ends this (Ctrl-C included) ends what still runs.
    """
    waiting = list(reversed(jobs))
    running: dict[Any, SomeJob] = {}
    stages: dict[SomeJob, str] = {}

    def say_stage(job: SomeJob, stage: str) -> None:
        if job not in stages and places.queues:
            tell("start", job.method, job.seed, "")
        if stages.get(job) != stage:
            stages[job] = stage
            tell("stage", job.method, job.seed, stage)

    try:
        while waiting or running:
            while waiting and (places.queues or len(running) < n_workers):
                job = waiting.pop()
                if not places.queues:
                    tell("start", job.method, job.seed, "")
                running[places.start(run, job)] = job
            for handle in places.ended(running):
                job = running.pop(handle)
                error = places.finish(handle)
                if job.log.exists() and job.log.stat().st_size == 0:
                    job.log.unlink()
                if places.queues and job not in stages:
                    say_stage(job, "ends")
                yield job, error
            for job in running.values():
                stage = _stage(job)
                if stage != STARTS or not places.queues:
                    say_stage(job, stage)
    finally:
        places.stop()


class _OwnProcesses:
    """Each job in a process of its own, of this machine."""

    queues = False

    def __init__(self) -> None:
        self.running: dict[Future[Any], Any] = {}

    def start(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        pool = _process()
        with _deaf_to_ctrl_c():
            future: Future[Any] = pool.submit(work, *arguments)
        self.running[future] = pool
        return future

    def ended(self, running: Collection[Any]) -> list[Any]:
        return list(wait(running, timeout=0.3, return_when=FIRST_COMPLETED).done)

    def finish(self, handle: Future[Any]) -> BaseException | None:
        self.running.pop(handle).shutdown(wait=True)  # it ends by itself, see end_soon
        return handle.exception()

    def stop(self) -> None:
        for pool in self.running.values():
            pool.shutdown(wait=True, kill_workers=True)
        self.running.clear()


def _stage(job: SomeJob) -> str:
    try:
        return job.stage.read_text(encoding="utf-8")
    except OSError:  # not yet there, or gone with the job that has just ended
        return STARTS


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that the body starts never hear SIGINT, not even while they load; we do, when it ends."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start lets SIGINT through again, in older Pythons
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _process() -> Any:
    """joblib's own process pool, one worker, with its native threads bounded before they start."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        max_workers=1, initializer=start_worker, initargs=(os.getpid(),), env=bounded_threads()
    )


def bounded_threads() -> dict[str, str]:
    """What bounds the native threads of a process that is to start."""
    return dict.fromkeys(POOLS, str(fit_threads()))


# --------------------------------------------------------------------------------------------
# inside the process
# --------------------------------------------------------------------------------------------


def start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, end when the parent is gone, and name no semaphore for a bar."""
    from tqdm import tqdm

    # tqdm's own lock is a named semaphore, which outlives a killed process; no bar is shared here
    tqdm.set_lock(threading.RLock())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def end_soon(seconds: float = LAST_WORDS) -> None:
    """End this process in ``seconds`` at the latest, whatever threads a library left running.

    For a job whose work is done: its process then ends by itself and gives back what it holds, such as
    named semaphores, which a killed one would leave behind.
    """

    def end() -> None:
        time.sleep(seconds)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def divert_messages(path: Path) -> None:
    """Warnings and progress bars of the method go to a log, native libraries' words included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 2)


def versions() -> dict[str, str]:
    """Of this package and of what computed, as far as loaded."""
    names = ("hybridkp", "numpy", "cv2", "sklearn", "skimage", "torch", "scipy", "onnxruntime")
    found = {n: str(sys.modules[n].__version__) for n in names if n in sys.modules}
    return {
        **found,
        "python": platform.python_version(),
        "machine": kind_of_machine(),
    }
