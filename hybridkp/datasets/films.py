"""Frames of films as pictures that open late: :meth:`Sample.load` of a frame."""

from __future__ import annotations

from pathlib import Path

from ..structures import Array, InputError

#: endings of films
FILMS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")
MAX_PIXELS = 200_000_000


def load_frame(path: str, frame: int) -> Array:
    """(H, W, 3) uint8 BGR of frame ``frame``, from 0; a function of the module, so that it pickles.

    OpenCV seeks by frame number, which films of constant rate answer exactly.

    Raises
    ------
    InputError
        No such film, not one that OpenCV reads, or no such frame.
    """
    import cv2

    if not Path(path).is_file():
        raise InputError(f"{path}: no such film; check the path")
    film = cv2.VideoCapture(path)
    try:
        size = film.get(cv2.CAP_PROP_FRAME_WIDTH) * film.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not film.isOpened() or size > MAX_PIXELS:
            raise InputError(f"{path}: not a film that OpenCV can read")
        film.set(cv2.CAP_PROP_POS_FRAMES, frame)
        there, image = film.read()
    finally:
        film.release()
    if not there:
        raise InputError(f"{path}: has no frame {frame}; is it the film that was labelled?")
    return image
