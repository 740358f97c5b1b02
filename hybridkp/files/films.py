"""Films, frame by frame, by the one door that looks at a file before a decoder sees it.

Frames leave as (H, W, 3) BGR uint8, one at a time.  A playlist, an address or a pattern of names, which a
decoder would follow to other files, is no film here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from ..structures import Array, InputError
from .pictures import MAX_PIXELS

FILM_EXTENSIONS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
#: how such a file begins: ISO base media and QuickTime, Matroska and WebM, AVI, MPEG, Windows Media
_BEGINS = re.compile(
    rb"....(ftyp|moov|mdat|wide|free|skip)|\x1aE\xdf\xa3|RIFF....AVI |\0\0\1[\xba\xb3]|0&\xb2u\x8ef\xcf\x11",
    re.DOTALL,
)
_BROKEN = 100  #: frames in a row that cannot be decoded, after which a film has ended


class Frame(NamedTuple):
    """One frame of a film."""

    number: int  #: from 0, in the order of the film
    time: float  #: seconds
    image: Array  #: (H, W, 3) BGR uint8


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a film, by its ending."""
    return Path(path).suffix.lower() in FILM_EXTENSIONS


class Film:
    """A film's facts, and its frames from any one on.

    Attributes
    ----------
    size_hw : of the frames, px
    rate : frames a second, as the file says; 25 where it does not
    n_frames : as the file says, which may be wrong; 0 where it does not

    Raises
    ------
    InputError
        For a file that is missing, no film of a known kind, or too large.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        capture = self._open()
        self.size_hw = (
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        self.rate = float(rate) if 0.01 < rate < 10_000 else 25.0
        self.n_frames = int(count) if 0 < count < 2**40 else 0
        if not 0 < self.size_hw[0] * self.size_hw[1] <= MAX_PIXELS:
            raise InputError(f"{path}: frames of {self.size_hw} px cannot be read")

    def _open(self) -> cv2.VideoCapture:
        try:
            if not self.path.is_file():
                raise InputError(f"{self.path}: no such film; check the path")
            with open(self.path, "rb") as file:
                known = _BEGINS.match(file.read(16)) is not None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path!s:.200}: cannot be read ({error}); check the file") from None
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG) if known else None
        if capture is None or not capture.isOpened():
            kinds = ", ".join(FILM_EXTENSIONS)
            raise InputError(f"{self.path}: not a film that OpenCV can read ({kinds}), or a damaged one")
        return capture

    def frame(self, number: int) -> Array | None:
        """The frame (H, W, 3) of that number, looked for by the film's own index; None where it has none."""
        capture = self._open()
        try:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            there, image = capture.read()
        finally:
            capture.release()
        return image if there else None

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames from number ``start`` on; those before it are passed over one by one, so that the
        numbers are right also where a film cannot be searched.  Those that cannot be decoded are left out.
        """
        capture, number, broken, last = self._open(), -1, 0, -1.0
        try:
            while broken <= _BROKEN:
                if not capture.grab():
                    if self.n_frames and number + 1 + broken < self.n_frames:
                        broken += 1
                        continue
                    return
                number += 1 + broken
                broken = 0
                time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                time = last = time if time > last else max(last + 1 / self.rate, number / self.rate)
                if number < start:
                    continue
                there, image = capture.retrieve()
                if there and image is not None:
                    if image.shape[:2] != self.size_hw:
                        raise InputError(f"{self.path}: frame {number} has another size than the film")
                    yield Frame(number, time, image)
        finally:
            capture.release()
