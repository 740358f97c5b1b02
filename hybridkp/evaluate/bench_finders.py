"""Finders on whole pictures: fitted on one part, asked on the other, timed against one known detector.

Boxes are stored before anybody computes a metric; a finder whose boxes are there already, for the same
data and settings, is not run again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..detection.fitting import Kept, each_fit_once, fit_finder
from ..files import FoundBoxes, load_found, load_model, save_found, save_model
from ..files.lease import work_in
from ..imaging.images import as_uint8
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import Array, Finder, InputError, Problem
from .bench_landmarks import with_seed
from .executors import AnyExecutor, Elsewhere, elsewhere, until_visible
from .processes import file_name, host, one_line

TIMED_HW = 480, 640  #: px of the pictures on the clock
TIMED = 12  #: of them

Progress = Callable[[str, str, int, str], None]  #: event, finder, seed, detail


def bench_finders(
    finders: Mapping[str, Finder],
    problem: Problem,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    executor: AnyExecutor | str | None = None,
    progress: Progress | None = None,
) -> list[FoundBoxes]:
    """Fit every finder on ``problem.train`` and store what it finds in ``problem.val``.

    Parameters
    ----------
    finders : expression -> unfitted finder
    out : folder; gets ``found/NAME.json`` and ``models/NAME.hkp``
    seed : every ``random_state`` is set to it
    settings : further facts that must be the same for stored boxes to be kept
    executor : where finders are fitted and look, instead of here, as of :func:`.bench`

    Returns
    -------
    one :class:`~hybridkp.files.FoundBoxes` a finder.  All are timed at the end, picture by picture in turn
    with OpenCV's HOG people detector, in one thread, so that what else the machine does meets all alike.

    Raises
    ------
    InputError
        For data without objects, when another run works in ``out``, and what a finder says of them.
    """
    out, tell = Path(out), progress or (lambda *_: None)
    if not any(len(s.instances) for s in problem.val):
        raise InputError(f"{problem.val.name}: no picture shows an object")
    about = {"train": problem.train.fingerprint, "seed": seed, **(settings or {})}
    made: dict[str, FoundBoxes] = {}
    models: dict[str, Finder] = {}
    with work_in(out), limit_threads(FIT_THREADS), each_fit_once() as fits:
        todo = []
        for name, finder in finders.items():
            try:
                if _path(out, name).exists() and _same(kept := load_found(_path(out, name)), problem, about):
                    made[name], models[name] = kept, load_model(_model(out, name))
                    fits.put(with_seed(finder, seed), problem.train.samples, models[name], kept.fit_seconds)
                    tell("kept", name, seed, "")
                    continue
            except InputError as error:  # damaged
                tell("stale", name, seed, one_line(error))
            todo.append((name, with_seed(finder, seed), problem, about, out))
        with elsewhere(executor, out, bool(todo)) as places:
            for name in _fit_all(todo, fits, places, lambda event, name: tell(event, name, seed, "")):
                made[name] = load_found(until_visible(_path(out, name)))
                models[name] = load_model(until_visible(_model(out, name)))
        made = {name: made[name] for name in finders}
        if any(np.isnan(f.time_ratio) for f in made.values()):
            for name, ratio in _clock(models, problem).items():
                made[name] = replace(made[name], time_ratio=ratio)
                save_found(made[name], _path(out, name))
    return list(made.values())


def _fit_all(
    todo: Sequence[tuple[Any, ...]], fits: Kept, places: Elsewhere | None, tell: Callable[[str, str], None]
) -> Iterator[str]:
    """The finders' names as they are stored: one after the other here, or wherever an executor sends them."""
    if places is None:
        for job in todo:
            tell("start", job[0])
            yield _fit_one(fits, *job)
            tell("done", job[0])
        return
    for job in todo:
        tell("start", job[0])
    with closing(places.map(_fit_alone, todo, ordered=False)) as found:
        for name in found:
            yield name
            tell("done", name)


def _fit_alone(*job: Any) -> str:
    with limit_threads(FIT_THREADS), each_fit_once() as fits:
        return _fit_one(fits, *job)


def _fit_one(
    fits: Kept, name: str, finder: Finder, problem: Problem, about: Mapping[str, Any], out: Path
) -> str:
    """Fit a finder, store it, and store what it finds; its name."""
    start, before = time.perf_counter(), fits.spared
    model = fit_finder(finder, problem.train.samples)
    seconds = time.perf_counter() - start + fits.spared - before
    path = _model(out, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path, {"finder": name})
    found = replace(_ask(name, model, problem), fit_seconds=seconds, settings=about, fit_host=host())
    save_found(replace(found, model_bytes=path.stat().st_size), _path(out, name))
    return name


def _path(out: Path, name: str) -> Path:
    return out / "found" / f"{file_name(name)}.json"


def _model(out: Path, name: str) -> Path:
    return out / "models" / f"{file_name(name)}.hkp"


def _same(found: FoundBoxes, problem: Problem, about: Mapping[str, Any]) -> bool:
    return found.fingerprint == problem.val.fingerprint and dict(found.settings) == about


def _ask(name: str, finder: Finder, problem: Problem) -> FoundBoxes:
    pairs = [finder.find(as_uint8(s.image, s.name), name=s.name) for s in problem.val]
    return FoundBoxes(
        name,
        tuple(s.name for s in problem.val),
        tuple(boxes for boxes, _ in pairs),
        tuple(score for _, score in pairs),
        data=problem.val.name,
        fingerprint=problem.val.fingerprint,
    )


def people_detector() -> Callable[[Array], Any]:
    """OpenCV's HOG people detector with its defaults: what times are given against."""
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))
    return lambda image: hog.detectMultiScale(image)


def _clock(models: Mapping[str, Finder], problem: Problem) -> dict[str, float]:
    """The median over pictures of each finder's processor time by the people detector's on that picture."""
    height, width = TIMED_HW
    chosen = np.unique(np.linspace(0, len(problem.val) - 1, TIMED).astype(int))
    images = [as_uint8(problem.val.samples[i].image) for i in chosen]
    images = [cv2.resize(i, (width, height), interpolation=cv2.INTER_AREA) for i in images]
    calls: dict[str, Callable[[Array], Any]] = {
        "": people_detector(),
        **{n: f.find for n, f in models.items()},
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for image in [images[0], *images]:  # the first one warms up
        for name, call in calls.items():
            start = time.process_time()  # of one thread: what else the machine does has no part in it
            call(image)
            seconds[name].append(time.process_time() - start)
    table = {name: np.array(values[1:]) for name, values in seconds.items()}
    return {name: float(np.median(table[name] / table[""])) for name in models}
