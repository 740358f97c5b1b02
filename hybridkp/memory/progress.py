"""Trainings that are no fit of :mod:`.fits` by themselves, and yet go on where a stopped one was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from .fits import _FOLDER, _lock, _progress


@contextmanager
def in_progress(about: str) -> Iterator[None]:
    """Let the trainings of the body, which ``about`` tells from others, go on where a stopped one was.

    For fits that are not remembered themselves; nothing outside of :func:`.remember`.
    """
    folder = _FOLDER.get()
    if folder is None:
        yield
        return
    path = folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.progress"
    with _lock(path.with_suffix(".lock")), _progress(path):
        yield
