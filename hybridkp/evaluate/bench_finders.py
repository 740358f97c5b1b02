"""Finders, and methods of whole pictures: fitted on one part, asked on the other, timed against one detector.

What is found is stored before anybody computes a metric; what is stored already, for the same data and
settings, is not run again.
"""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import memory
from ..detection import TopDown
from ..detection.fitting import Kept, each_fit_once, fit_finder
from ..files import FoundBoxes, load_found, load_model, read_meta, save_found, save_model, write_atomic
from ..files.lease import work_in
from ..imaging.crops import move_modality
from ..imaging.geometry import resize_matrix
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import Array, Finder, InputError, Problem, Sample, modalities_of
from ..structures.base import evenly
from .apply import train
from .bench_landmarks import check_parts, with_seed
from .crops import load_modalities, loaders
from .executors import AnyExecutor, Elsewhere, elsewhere, until_visible
from .processes import BenchProgress, error_path, file_name, host, one_line
from .stored import model_path
from .whole_pictures import ask_pictures

TIMED_HW = 480, 640  #: px of the pictures on the clock
TIMED = 12  #: of them


def bench_finders(
    finders: Mapping[str, Any],
    problem: Problem,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    executor: AnyExecutor | str | None = None,
    progress: BenchProgress | None = None,
) -> list[FoundBoxes]:
    """Fit every finder or method on ``problem.train`` and store what it finds in ``problem.val``.

    Parameters
    ----------
    finders : expression -> what is unfitted: finders; or methods, which are trained as :func:`.train` does.
        Those that find their objects themselves are asked in whole pictures, and, if they have a finder, in
        the given boxes too; those of crops in the given boxes.  A finder that several have is fitted once.
    out : folder; gets ``found/NAME.json``, ``models/`` and, for what failed, ``errors/``
    seed : every ``random_state`` is set to it
    settings : further facts that must be the same for what is stored to be kept
    executor : where finders are fitted and look, instead of here, as of :func:`.bench`

    Returns
    -------
    one :class:`~hybridkp.files.FoundBoxes` each; what failed is missing, with its traceback in
    ``out/errors``.  All that find objects are timed at the end, picture by picture in turn
    with OpenCV's HOG people detector, in one thread, so that what else the machine does meets all alike.

    Raises
    ------
    InputError
        For data without objects, when another run works in ``out``, and when all failed; where points are
        asked for, also for errors of the data that make figures wrong, as by :func:`.bench`.
    """
    out, tell = Path(out), progress or (lambda *_: None)
    if not any(len(s.instances) for s in problem.val):
        raise InputError(f"{problem.val.name}: no picture shows an object")
    if not all(isinstance(finder, Finder) for finder in finders.values()):
        check_parts(problem)
    about = {"train": problem.train.fingerprint, "seed": seed, **(settings or {})}
    made: dict[str, FoundBoxes] = {}
    failed: list[str] = []
    with work_in(out), limit_threads(FIT_THREADS), each_fit_once() as fits:
        todo = []
        for name, finder in finders.items():
            own, path = with_seed(finder, seed), model_file(out, name, finder, seed)
            job = name, own, problem, about | _method_facts(own, problem), out, path
            if (kept := _kept(fits, tell, *job)) is None:
                todo.append(job)
            else:
                made[name] = kept
        with elsewhere(executor, out, bool(todo)) as places:
            for name, error in _fit_all(todo, fits, places, tell):
                if error:
                    failed.append(f"{name}: {error}")
                else:
                    made[name] = load_found(until_visible(_path(out, name)))
        if not made:
            raise InputError(f"{failed[0]} (tracebacks in {out / 'errors'})")
        made = {name: made[name] for name in finders if name in made}
        paths = {name: model_file(out, name, finders[name], seed) for name in made}
        return _timed(made, {name: until_visible(path) for name, path in paths.items()}, problem, out)


def _kept(
    fits: Kept,
    tell: BenchProgress,
    name: str,
    finder: Any,
    problem: Problem,
    about: Mapping[str, Any],
    out: Path,
    path: Path,
) -> FoundBoxes | None:
    """What is stored for the same data and settings, with its model; None where nothing is."""
    if not _path(out, name).exists():
        return None
    try:
        found, model = load_found(_path(out, name)), load_model(path)
    except InputError as error:  # damaged
        tell("stale", name, about["seed"], one_line(error))
        return None
    if found.fingerprint != problem.val.fingerprint or dict(found.settings) != about:
        return None
    if isinstance(finder, Finder):
        fits.put(finder, problem.train.samples, model, found.fit_seconds)
    tell("kept", name, about["seed"], "")
    return found


def _timed(
    made: Mapping[str, FoundBoxes], paths: Mapping[str, Path], problem: Problem, out: Path
) -> list[FoundBoxes]:
    """The same with times where these can be taken and are not all there."""
    untimed = any(np.isnan(found.time_ratio) and not found.told for found in made.values())
    models = {name: load_model(path) for name, path in paths.items()} if untimed else {}
    ratios = _clock({n: m for n, m in models.items() if not made[n].told}, problem) if untimed else {}
    for name, ratio in ratios.items():
        save_found(replace(made[name], time_ratio=ratio), _path(out, name))
    return [replace(found, time_ratio=ratios.get(name, found.time_ratio)) for name, found in made.items()]


def model_file(out: Path, name: str, method: Any, seed: int = 0) -> Path:
    """Where a bench keeps the model of a finder, or of a method."""
    if isinstance(method, Finder):
        return out / "models" / f"{file_name(name)}.hkp"
    return model_path(out, name, seed)


def _method_facts(method: Any, problem: Problem) -> dict[str, Any]:
    """What must be the same besides, for a method that gives points."""
    if isinstance(method, Finder):
        return {}
    own = hashlib.sha256(f"{memory.source_of(method)} {memory.describe(method)}".encode()).hexdigest()[:16]
    return {"method": own, "size_hw": list(problem.size_hw), "margin": problem.margin}


def _fit_all(
    todo: Sequence[tuple[Any, ...]], fits: Kept, places: Elsewhere | None, tell: BenchProgress
) -> Iterator[tuple[str, str]]:
    """Names as what they found is stored, with an error or none: one after the other here, or wherever an
    executor sends them.
    """

    def started(job: tuple[Any, ...]) -> tuple[Any, ...]:
        tell("start", job[0], job[3]["seed"], "")
        return job

    def ends() -> Iterator[tuple[str, str]]:
        if places is None:
            yield from (_fit_one(fits, *started(job)) for job in todo)
            return
        with closing(places.map(_fit_alone, [started(job) for job in todo], ordered=False)) as found:
            yield from found

    for name, error in ends():
        tell("failed" if error else "done", name, todo[0][3]["seed"], error)
        yield name, error


def _fit_alone(*job: Any) -> tuple[str, str]:
    with limit_threads(FIT_THREADS), each_fit_once() as fits:
        return _fit_one(fits, *job)


def _fit_one(
    fits: Kept, name: str, finder: Any, problem: Problem, about: Mapping[str, Any], out: Path, path: Path
) -> tuple[str, str]:
    """Fit one, store it, and store what it finds; its name, and in a line what went wrong."""
    where = error_path(out, name, about["seed"])
    start, before = time.perf_counter(), fits.spared
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(finder, Finder):
            model = fit_finder(finder, problem.train.samples)
            save_model(model, path, {"finder": name})
        else:
            if isinstance(finder, TopDown):
                _finder_first(finder.finder, problem, path.parent, fits)
            model = train(finder, problem, path, seed=about["seed"], name=name)
        seconds = time.perf_counter() - start + fits.spared - before
        cut = problem.size_hw, problem.margin
        found = replace(ask_pictures(name, model, problem.val, cut), fit_seconds=seconds, settings=about)
        save_found(replace(found, fit_host=host(), model_bytes=path.stat().st_size), _path(out, name))
    except Exception as error:  # the others go on
        write_atomic(where, "".join(traceback.format_exception(error)))
        return name, one_line(error)
    where.unlink(missing_ok=True)
    return name, ""


def _finder_first(finder: Finder, problem: Problem, folder: Path, fits: Kept) -> None:
    """A method's finder fitted and stored, or read: a stopped run and other methods have it then."""
    samples = problem.train.samples
    about = f"{problem.train.fingerprint} {memory.source_of(finder)} {memory.describe(finder)}"
    path = folder / f"finder~{hashlib.sha256(about.encode()).hexdigest()[:16]}.hkp"
    if path.exists():
        fits.put(finder, samples, load_model(path), float(read_meta(path).get("seconds", np.nan)))
        return
    start = time.perf_counter()
    model = fit_finder(finder, samples)
    save_model(model, path, {"seconds": time.perf_counter() - start})


def _path(out: Path, name: str) -> Path:
    return out / "found" / f"{file_name(name)}.json"


def people_detector() -> Callable[[Array], Any]:
    """OpenCV's HOG people detector with its defaults: what times are given against."""
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))
    return lambda image: hog.detectMultiScale(image)


def _clock(models: Mapping[str, Any], problem: Problem) -> dict[str, float]:
    """The median over pictures of each one's processor time by the people detector's on that picture."""
    senses = {"": ("image",), **{name: modalities_of(model) for name, model in models.items()}}
    wanted = modalities_of(*models.values())
    pictures = [_timed_picture(problem.val.samples[i], wanted) for i in evenly(len(problem.val), TIMED)]
    calls: dict[str, Callable[[Any], Any]] = {
        "": people_detector(),
        **{n: m.find if isinstance(m, Finder) else m.detect for n, m in models.items()},
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for picture in [pictures[0], *pictures]:  # the first one warms up
        for name, call in calls.items():
            seen = {key: value for key, value in picture.items() if key in senses[name]}
            shown = seen if len(seen) > 1 else seen["image"]
            start = time.process_time()  # of one thread: what else the machine does has no part in it
            call(shown)
            seconds[name].append(time.process_time() - start)
    table = {name: np.array(values[1:]) for name, values in seconds.items()}
    return {name: float(np.median(table[name] / table[""])) for name in models}


def _timed_picture(sample: Sample, wanted: Sequence[str]) -> dict[str, Any]:
    """Modality -> what it is of the sample where its picture has the size :data:`TIMED_HW`."""
    seen = load_modalities(loaders(sample, wanted), sample.name)
    image, size = seen.pop("image"), TIMED_HW[::-1]
    matrix = resize_matrix(np.divide(size, image.shape[1::-1]))
    moved = {name: move_modality(name, value, matrix, TIMED_HW) for name, value in seen.items()}
    return {"image": cv2.resize(image, size, interpolation=cv2.INTER_AREA), **moved}
