"""The detectors of the classroom: small ones, trained once on embedded faces and kept, or a user's own files.

Model files lie in a folder of the user's, whole or not at all; a training that was stopped goes on.  What is
learned is the work of ``evaluate.train``; here is only which, on what, and where it is kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import evaluate, memory, recipes
from ..files import load_model, read_meta
from ..structures import MARGIN, Detector, InputError, Problem, supports

#: the first of each kind is shown at first; two folds, so that the two hybrids learn from the same ones
METHODS = ("sdm", "heatmap", "heatmap:sdm", "vote[cv=2](sdm,heatmap)", "hog+ridge")
N_TRAIN, N_PICTURES = 400, 6
SIDE = 96  #: px of the crops
_KEPT = re.compile(r"[\w+~.-]+-[0-9a-f]{12}\.hkp")

Progress = Callable[[str, int, int], object]  #: what is trained, how many are done, of how many


@dataclass(frozen=True, eq=False)
class Model:
    """One detector that can be chosen on the page."""

    name: str  #: for people: its expression
    family: str  #: "classical", "deep", "hybrid", ...
    about: str  #: one line
    detector: Any


@dataclass(frozen=True, eq=False)
class Models:
    """Detectors of one landmark scheme, and the crops that all of them take."""

    models: tuple[Model, ...]
    landmarks: tuple[str, ...]
    side: int
    margin: float
    small: bool = False  #: ours, of embedded faces


def problem() -> Problem:
    """What the small models learn from, and whose val part the page shows."""
    return evaluate.load_problem(
        "synthetic", max_train=N_TRAIN, max_val=N_PICTURES, size_hw=(SIDE, SIDE), normalizer=None
    )


def _drawn(data: Problem) -> Problem:
    """The same with every face drawn once, since each model cuts its own crops."""
    samples = tuple(replace(s, load=partial(np.asarray, s.image)) for s in data.train.samples)
    return replace(data, train=replace(data.train, samples=samples))


def cache_folder() -> Path:
    """Where this system keeps what a user's programs can make again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "hybridkp" / "classroom"


def small_models(
    folder: str | os.PathLike[str],
    progress: Progress,
    methods: Sequence[str] = METHODS,
    data: Problem | None = None,
    verbose: int = 0,
) -> Models:
    """The small models, from ``folder`` where it has them, else trained and kept there.

    Parameters
    ----------
    progress : told before each training, and once at the end
    methods : expressions
    data : learned from; default :func:`problem`
    verbose : 1 shows a network's epochs on stderr

    Raises
    ------
    InputError
        For a folder that cannot be written, or in which another process trains them just now.
    """
    data, folder = problem() if data is None else data, Path(folder)
    paths = {method: folder / _file_name(method, data) for method in methods}
    found = {method: _kept(path) for method, path in paths.items()}
    missing = [method for method in methods if found[method] is None]
    if missing:
        progress("faces are drawn", 0, len(missing))
        data = _drawn(data)
        with memory.remember_until_done(folder / "fits"):  # a vote's members are fitted once
            for done, method in enumerate(missing):
                progress(method, done, len(missing))
                # verbose is no parameter of what has no network
                made = recipes.make_method(method, quick=True)
                told = [n for n in made.get_params(deep=True) if n.split("__")[-1] == "verbose"]
                made.set_params(**dict.fromkeys(told, verbose))
                found[method] = evaluate.train(made, data, paths[method], name=method)
            progress("trained", len(missing), len(missing))
        for path in folder.glob("*.hkp"):  # of another version
            if _KEPT.fullmatch(path.name) and path not in paths.values():
                path.unlink(missing_ok=True)
    models = tuple(_described(method.replace("[cv=2]", ""), found[method]) for method in methods)
    return Models(models, tuple(data.train.landmarks), int(data.size_hw[0]), data.margin, True)


def own_models(paths: Sequence[str | os.PathLike[str]]) -> Models:
    """A user's model files; all must be of one landmark scheme, crop size and margin.

    Raises
    ------
    InputError
        For a file that is no model of crops of pictures, and for two that do not go together.
    """
    models: list[Model] = []
    facts: list[tuple[tuple[str, ...], int, float]] = []
    for path in dict.fromkeys(map(Path, paths)):
        detector, meta = load_model(path), read_meta(path)
        size_hw, landmarks = getattr(detector, "size_hw_", None), meta.get("landmarks")
        if not supports(detector, Detector) or size_hw is None or not landmarks:
            raise InputError(f"{path}: no trained detector of landmarks in crops; train one without --finder")
        h, w = (int(v) for v in size_hw)
        if h != w or h % 2 or len(meta.get("modalities") or ("image",)) > 1:
            raise InputError(f"{path}: the classroom takes models of even, square crops of pictures alone")
        if len(detector.predict(np.zeros((1, h, w, 3), np.uint8))[0]) != len(landmarks):
            raise InputError(f"{path}: finds another number of points than it has names for; train it again")
        fact = (tuple(map(str, landmarks)), h, float(meta.get("margin", MARGIN)))
        if facts and fact != facts[0]:
            raise InputError(
                f"{path}: has other landmarks, or another --crop or --margin, than {paths[0]}; both need one"
            )
        facts.append(fact)
        described = _described(str(meta.get("method") or path.stem), detector)
        taken = {m.name for m in models}
        name = described.name if described.name not in taken else f"{described.name} ({path})"
        models.append(Model(name, described.family, described.about, detector))
    landmarks, side, margin = facts[0]
    return Models(tuple(models), landmarks, side, margin)


def _described(method: str, detector: Any) -> Model:
    try:
        return Model(method, recipes.family(method), recipes.describe_method(method), detector)
    except InputError:  # a name of the user's own
        return Model(method, "other", "", detector)


def _file_name(method: str, data: Problem) -> str:
    """Another name for other parameters, source or data."""
    made = recipes.make_method(method, quick=True)
    digest = hashlib.sha256(f"{memory.source_of(made)} {memory.describe(made)} {data.size_hw}".encode())
    for sample in data.train.samples:
        for instance in sample.instances:
            digest.update(np.ascontiguousarray(instance.xy).tobytes())
    return f"{evaluate.file_name(method)}-{digest.hexdigest()[:12]}.hkp"


def _kept(path: Path) -> Any:
    """The model that lies there; None, and why is told, where it cannot be read."""
    if not path.exists():
        return None
    try:
        return load_model(path)
    except InputError as error:
        warnings.warn(f"{error}; trained again", RuntimeWarning, stacklevel=3)
        return None
