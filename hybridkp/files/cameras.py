"""A camera by its index, frame by frame, with a film's facts: what can be followed live.

Frames leave as (H, W, 3) BGR uint8, one at a time; none is kept.  They come once: what a camera has shown
cannot be read again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from ..structures import InputError
from .films import Frame


class Camera:
    """A camera's facts, and its frames from now on.

    Parameters
    ----------
    index : as OpenCV counts them, from 0
    max_frames : after which it ends; None: when the loop over its frames does

    Attributes
    ----------
    path : no file, but the name that files about it bear
    size_hw : of the frames, px
    n_frames : ``max_frames``, else 0

    Raises
    ------
    InputError
        Where there is no such camera, or another program has it.
    """

    def __init__(self, index: int, max_frames: int | None = None) -> None:
        if index < 0 or (max_frames is not None and max_frames < 1):
            raise InputError(f"camera {index}: the index counts from 0, and max_frames from 1")
        self.path, self.n_frames = Path(f"camera{index}"), max_frames or 0
        self._capture = _opened(index)
        there, image = self._capture.read()  # some give a dark one first, and sizes that are not their own
        if not there or image is None:
            self._capture.release()
            raise InputError(f"camera {index}: gives no frame; is it in use by another program?")
        self.size_hw: tuple[int, int] = image.shape[:2]

    def frames(self) -> Iterator[Frame]:
        """Frames with the seconds since the first one, until ``max_frames`` or until the camera stops."""
        number, start = 0, time.monotonic()
        try:
            while not self.n_frames or number < self.n_frames:
                there, image = self._capture.read()
                if not there or image is None:
                    return
                if image.shape[:2] != self.size_hw:
                    raise InputError(f"{self.path}: frame {number} has another size than the first")
                now = time.monotonic()
                start = start if number else now
                yield Frame(number, now - start, image)
                number += 1
        finally:
            self._capture.release()


def is_camera(text: str) -> bool:
    """Whether a word is a camera's index: digits alone, and no file of that name."""
    return text.isascii() and text.isdecimal() and len(text) < 10 and not Path(text).exists()


def _opened(index: int) -> cv2.VideoCapture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # each backend complains on its own
    try:
        capture = cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise InputError(f"camera {index}: cannot be opened; is there one, and may this program use it?")
    return capture
