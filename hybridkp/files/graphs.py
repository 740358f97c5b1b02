"""The one opener of ONNX graphs: bytes or a file become a function of arrays, on either of two engines.

ONNX Runtime where it is installed, else OpenCV's own; which is faster depends on the network, see
``benchmarks/landmark_times.py``.  What goes in and comes out, and where it lies in a picture, is known to
those who ask.  Never here: pictures, training.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import cv2
import numpy as np

from ..structures import Array, InputError

ENGINES = ("auto", "onnxruntime", "cv2.dnn")

Ask = Callable[..., list[Array]]  #: one array per input -> one array per output
Stamp = tuple[str, int, int]  #: path, time of change, bytes: what a loaded net is kept under
_CACHED = 8  # graphs of files kept open
OPEN_SHAPE = (1, 1, 480, 640)  #: what a size that a file leaves open is judged at


def stamp(path: str | os.PathLike[str]) -> Stamp:
    """What identifies a file's present content.

    Raises
    ------
    InputError
        Where there is no such file.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise InputError(f'file={path!r:.60} names no file: give the file, as onnx[file="net.onnx"]')
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {why}: give the path of an ONNX file") from None
    if not os.path.isfile(path):
        raise InputError(f"{path} is no file: give the path of an ONNX file")
    return str(path), facts.st_mtime_ns, facts.st_size


def open_file(
    path: str | os.PathLike[str], engine: str, inputs: Sequence[str] | None, outputs: Sequence[str]
) -> Ask:
    """As :func:`open_graph`, kept open for the process; every complaint names the file."""
    names = None if inputs is None else tuple(inputs)
    return _open_file(*stamp(path), engine, names, tuple(outputs), cv2.getNumThreads())


@lru_cache(maxsize=_CACHED)
def _open_file(
    path: str,
    changed: int,
    size: int,
    engine: str,
    inputs: tuple[str, ...] | None,
    outputs: tuple[str, ...],
    n_threads: int,
) -> Ask:
    try:
        with open(path, "rb") as file:
            run = open_graph(file.read(), engine, inputs, outputs)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None

    def ask(*values: Array) -> list[Array]:
        try:
            return run(*values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    return ask


def open_graph(graph: bytes, engine: str, inputs: Sequence[str] | None, outputs: Sequence[str]) -> Ask:
    """The graph, ready to run; "auto" is ONNX Runtime where it is installed, else ``cv2.dnn``.

    Parameters
    ----------
    engine : one of :data:`ENGINES`
    inputs : names, in the order of the arrays, of a graph as our exporters write it; None = somebody
        else's graph, with one input of whatever name.  Before an engine sees it, either is looked through
        (``onnx_check.py``): ours for its operators, memory and cost, others' for their operators
    outputs : names.  Of a graph of known inputs, OpenCV 4 may have renamed them: then the largest comes first

    Raises
    ------
    InputError
        When the engine is unknown, not installed, or cannot run the graph.
    """
    from .onnx_check import check_foreign, check_own  # an application without networks does not wait for it
    from .onnx_graph import GraphError

    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if not isinstance(graph, bytes):
        raise TypeError("a graph is missing")
    try:
        if inputs is None:
            check_foreign(graph)
        else:
            check_own(graph, {"image": OPEN_SHAPE})
    except GraphError as error:
        raise InputError(f"the network {error}") from None
    open_it = _on_onnxruntime if engine_used(engine) == "onnxruntime" else _on_opencv
    return _in_each_process(lambda: open_it(graph, inputs, list(outputs)))


def declared(graph: bytes) -> tuple[list[str], tuple[int, ...]]:
    """(outputs' names, shape of the only input, 0 = left open) of somebody else's graph.

    Raises
    ------
    InputError
        A graph that no engine will see, or of several inputs.
    """
    from .onnx_check import check_foreign
    from .onnx_graph import GraphError

    try:
        found = check_foreign(graph)
    except GraphError as error:
        raise InputError(f"the network {error}") from None
    if len(found.inputs) != 1:
        raise InputError(f"the network has {len(found.inputs)} inputs ({', '.join(found.inputs)}), not one")
    return list(found.outputs), next(iter(found.inputs.values()))


def engine_used(engine: str) -> str:
    """The engine that "auto" stands for here; another is itself, where it is installed."""
    if engine != "cv2.dnn":
        try:
            import onnxruntime  # noqa: F401

            return "onnxruntime"
        except ImportError:
            if engine == "onnxruntime":
                raise InputError(
                    "onnxruntime is not installed: install hybridkp[onnx], or use engine='cv2.dnn'"
                ) from None
    return "cv2.dnn"


def _in_each_process(opened: Callable[[], Ask]) -> Ask:
    """``opened()``, and again in a forked child: an engine's threads and a held lock are no use there."""
    run, owner = opened(), os.getpid()

    def ask(*values: Array) -> list[Array]:
        nonlocal run, owner
        if os.getpid() != owner:
            run, owner = opened(), os.getpid()
        return run(*values)

    return ask


def _on_onnxruntime(graph: bytes, inputs: Sequence[str] | None, outputs: list[str]) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise InputError(f"holds a network that ONNX Runtime cannot read ({type(error).__name__})") from None
    there, found = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    names = there if inputs is None else list(inputs)
    if set(outputs) - set(found) or set(names) != set(there) or (inputs is None and len(there) != 1):
        wanted = "one input" if inputs is None else f"the inputs {', '.join(names)}"
        raise InputError(
            f"expected {wanted} and the outputs {', '.join(outputs)}; the network has the inputs"
            f" {', '.join(there)} and the outputs {', '.join(found)}"
        )

    def ask(*values: Array) -> list[Array]:
        try:
            return list(session.run(outputs, dict(zip(names, values, strict=True))))
        except Exception as error:
            took, got = [i.shape for i in session.get_inputs()], [np.shape(v) for v in values]
            raise InputError(f"the network takes {took}, got {got} ({type(error).__name__})") from None

    return ask


def _threads() -> int:
    """As many as OpenCV may have here, and no more than the caller's ``OMP_NUM_THREADS``."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cv2.getNumThreads(), int(said) if said.isdecimal() else cv2.getNumThreads()))


def _on_opencv(graph: bytes, inputs: Sequence[str] | None, outputs: list[str]) -> Ask:
    try:
        with quiet():
            net = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    except cv2.error as error:
        raise InputError(
            f"holds a network that cv2.dnn {cv2.__version__} cannot read ({reason(error)}): install"
            " onnxruntime"
        ) from None
    names, found = outputs, list(net.getUnconnectedOutLayersNames())
    if set(outputs) - set(found):
        if inputs is None:
            raise InputError(f"cv2.dnn finds no outputs {', '.join(outputs)}, only {', '.join(found)}")
        names = found
    busy = threading.Lock()  # the network object holds its inputs

    def ask(*values: Array) -> list[Array]:
        with busy:
            for name, value in zip(inputs or [""], values, strict=True):
                net.setInput(value, name)
            try:
                with quiet():
                    # OpenCV gives its own buffers, which the next call overwrites
                    made = [np.array(value) for value in net.forward(names)]
            except cv2.error as error:
                raise InputError(
                    f"cv2.dnn {cv2.__version__} cannot run this network ({reason(error)}): install"
                    " onnxruntime"
                ) from None
        return made if names is outputs else sorted(made, key=np.size, reverse=True)

    return ask


def reason(error: Exception) -> str:
    """The last sentence of OpenCV's complaint, on one line."""
    text = str(error).strip().rsplit("error: ", 1)[-1]
    return " ".join(text.split())[:200]


_QUIET = threading.Lock()
_quiet: list[int] = []  # a level for each body that runs now; the first is the caller's own


@contextmanager
def quiet() -> Iterator[None]:
    """Without OpenCV's remarks on standard error; its complaints come as exceptions.

    The level is one for the process: the last of several threads brings the caller's back.
    """
    logging = cv2.utils.logging
    with _QUIET:
        _quiet.append(_quiet[0] if _quiet else logging.getLogLevel())
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        with _QUIET:
            level = _quiet.pop()
            if not _quiet:
                logging.setLogLevel(level)
