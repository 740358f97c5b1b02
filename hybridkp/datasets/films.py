"""Frames of films as pictures that open late: :meth:`Sample.load` of a frame."""

from __future__ import annotations

import os

from ..structures import Array, InputError


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a film, by its ending; OpenCV, which opens films, is not asked."""
    from ..files import is_film as ends_so

    return ends_so(path)


def load_frame(path: str, frame: int) -> Array:
    """(H, W, 3) uint8 BGR of frame ``frame``, from 0; a function of the module, so that it pickles.

    OpenCV seeks by frame number, which films of constant rate answer exactly.

    Raises
    ------
    InputError
        No such film, not one that OpenCV reads, or no such frame.
    """
    from ..files.films import Film

    image = Film(path).frame(frame)
    if image is None:
        raise InputError(f"{path}: has no frame {frame}; is it the film that was labelled?")
    return image
