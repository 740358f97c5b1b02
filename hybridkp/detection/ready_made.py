"""OpenCV's own detectors as finders: cascades and its face network, by a file that the user gives.

What they find is theirs; what their scores mean, and how their boxes lie to the user's, is learned here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from ..imaging.images import as_uint8, to_grey
from ..metrics.boxes import box_overlap
from ..stats.calibration import calibrate, probability
from ..structures import Array, InputError, Sample
from .boxes_math import corrected, corrections, objects_of, suppress


class ReadyMadeFinder(BaseEstimator):
    """A finder whose boxes and raw scores come from elsewhere.

    Without a fit its boxes are taken as they are, and a score is the logistic function of the raw one.
    """

    overlap: float

    def _raw(self, image: Array) -> tuple[Array, Array]:
        """Boxes (N, 4) and raw scores (N,) of a uint8 picture."""
        raise NotImplementedError

    def fit(self, samples: Iterable[Sample]) -> Any:
        """Learn how the boxes lie to the samples' own, and how probable a raw score makes an object."""
        self.correction_, self.calibration_ = np.zeros(4), np.array([1.0, 0.0])
        seen = [(*self._raw(as_uint8(s.image, s.name)), objects_of(s)[0]) for s in samples]
        change = [np.zeros((0, 4))]
        for boxes, _, true in seen:
            overlap = box_overlap(boxes, true)
            near = overlap.max(1, initial=0) >= 0.2
            if near.any():
                change.append(corrections(boxes[near], true[overlap[near].argmax(1)]))
        changes = np.concatenate(change)
        if len(changes):
            self.correction_ = np.median(changes, axis=0)
        raw, hit = [np.zeros(0)], [np.zeros(0, bool)]
        for boxes, value, true in seen:
            better = corrected(boxes, np.broadcast_to(self.correction_, boxes.shape))
            raw.append(value)
            hit.append(box_overlap(better, true).max(1, initial=0) >= 0.5)
        self.calibration_ = np.array(calibrate(np.concatenate(raw), np.concatenate(hit)))
        return self

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        boxes, raw = self._raw(as_uint8(image, name or "picture"))
        fitted = vars(self)
        change = fitted.get("correction_", np.zeros(4))
        boxes = corrected(boxes, np.broadcast_to(change, boxes.shape))
        score = probability(raw, fitted.get("calibration_", (1.0, 0.0)))
        kept = suppress(boxes, score, self.overlap)
        return boxes[kept], score[kept]


@dataclass(eq=False, repr=False)
class CascadeFinder(ReadyMadeFinder):
    """A boosted cascade in OpenCV's XML format (Viola & Jones 2001), of Haar or LBP features.

    Parameters
    ----------
    file : the XML file; None: scikit-image's frontal faces (LBP)
    step : factor between two sizes that are looked for
    neighbours : overlapping answers that one box needs
    least_px : side of the smallest box
    overlap : of two boxes, above which the better one stays

    Raises
    ------
    InputError
        When the file is none, or OpenCV was built without cascades (5.x has them in contrib).

    Examples
    --------
    >>> boxes, score = CascadeFinder().find(np.zeros((60, 80), np.uint8))
    >>> boxes.shape, score.shape
    ((0, 4), (0,))
    """

    file: str | None = None
    step: float = 1.1
    neighbours: int = 2
    least_px: int = 16
    overlap: float = 0.4

    def _raw(self, image: Array) -> tuple[Array, Array]:
        cascade = _cascade(_lbp_faces() if self.file is None else str(self.file))
        side = (int(self.least_px), int(self.least_px))
        boxes, _, weight = cascade.detectMultiScale3(
            to_grey(image), self.step, int(self.neighbours), 0, side, outputRejectLevels=True
        )
        return np.reshape(np.array(boxes, float), (-1, 4)), np.array(weight, float).ravel()


@dataclass(eq=False, repr=False)
class FaceNetFinder(ReadyMadeFinder):
    """OpenCV's face network, ``cv2.FaceDetectorYN`` (YuNet; Wu et al. 2023), by its ONNX file.

    Parameters
    ----------
    file : the ONNX file (needed), such as OpenCV Zoo's ``face_detection_yunet_2023mar.onnx``
    least : raw scores below are not given
    overlap : of two boxes, above which the better one stays
    """

    file: str | None = None
    least: float = 0.3
    overlap: float = 0.4

    def _raw(self, image: Array) -> tuple[Array, Array]:
        if self.file is None:
            raise InputError('OpenCV\'s face network needs its file: facenet[file="yunet.onnx"]')
        if not Path(self.file).is_file():
            raise InputError(f"{self.file}: no such file; give the ONNX file of OpenCV's face network")
        size = image.shape[1], image.shape[0]
        bgr = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        try:
            net = cv2.FaceDetectorYN.create(str(self.file), "", size, float(self.least), float(self.overlap))
            _, found = net.detect(bgr)
        except (cv2.error, AttributeError) as error:
            last = " ".join(str(error).split())[-150:]
            raise InputError(f"{self.file}: OpenCV's face network does not run with it ({last})") from None
        rows = np.zeros((0, 15)) if found is None else np.asarray(found, float)
        share = np.clip(rows[:, 14], 1e-6, 1 - 1e-6)
        return rows[:, :4], np.log(share / (1 - share))


def _lbp_faces() -> str:
    spec = find_spec("skimage")
    where = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path()
    return str(where / "data" / "lbpcascade_frontalface_opencv.xml")


@lru_cache(maxsize=8)
def _cascade(file: str) -> Any:
    if not Path(file).is_file():
        raise InputError(f"{file}: no such cascade; give the path of an OpenCV cascade's XML file")
    if not hasattr(cv2, "CascadeClassifier"):
        raise InputError(
            f"OpenCV {cv2.__version__} was built without cascades: install opencv-contrib-python"
        )
    try:
        text = Path(file).read_text(encoding="utf-8")
        # scikit-image's copy has this slip, which its own reader does not see
        text = text.replace("featuhreParams", "featureParams")
        stored = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        cascade = cv2.CascadeClassifier()
        good = cascade.read(stored.getFirstTopLevelNode()) and not cascade.empty()
    except (cv2.error, SystemError, ValueError):
        good = False
    if not good:
        raise InputError(f"{file}: no cascade that OpenCV {cv2.__version__} reads")
    return cascade
