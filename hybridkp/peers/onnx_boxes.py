"""Others' box detectors in ONNX files as finders.

What goes in and what comes out is stated by parameters; the graph is looked through before an engine sees it.
Pictures (h, w[, 3]) uint8 come in, boxes (N, 4) and scores (N,) go out.  What a score means on the user's
pictures, and how the boxes lie to the user's own, is learned from these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ..detection import ReadyMadeFinder
from ..imaging.geometry import crop_matrix, invert_affine, map_box, warp
from ..structures import Array, InputError, Sample
from .onnx import COLOURS, PIXELS, UNITS, as_input, check_choices, opened, read_network

OUTPUTS = ("auto", "yolo", "corners", "boxes")
MOST = 300  #: boxes of a picture that are looked at, the surest ones


@dataclass(eq=False, repr=False)
class OnnxBoxes(ReadyMadeFinder):
    """A box detector that somebody else trained.

    Parameters
    ----------
    file : the ONNX file, with one picture as its input, (1, C, H, W) or (1, H, W, C)
    output : what comes out, in px of the input. "yolo" (1, 4 + classes, N) or its transpose, as Ultralytics'
        detectors: x and y of the centre, width, height, a score a class; "corners" (1, N, 6): x0, y0, x1, y1,
        score, class, as after suppression; "boxes": several outputs, of which one is (N, 4), x0, y0, x1, y1,
        and the next of N numbers, not whole ones, the scores, as torchvision's.  "auto" tells by the shapes
    category : number of the class that is looked for, from 0; None: any.  Of "boxes" all count
    unit : "px" of the input, or "share" of its width and height
    pixels, colour, engine : as of :class:`.OnnxLandmarks`
    least : scores below are not given
    overlap : of two boxes, above which the better one stays

    Notes
    -----
    A picture is scaled into the input, its ratio kept, the border repeated; boxes come back by the inverse
    map.  A fitted one, and so a model file, holds the graph.
    """

    file: str = ""
    output: str = "auto"
    category: int | None = None
    unit: str = "px"
    pixels: str = "unit"
    colour: str = "rgb"
    least: float = 0.05
    overlap: float = 0.5
    engine: str = "auto"

    def fit(self, samples: Iterable[Sample]) -> OnnxBoxes:
        """Read the file, and learn what its boxes and scores mean on these pictures."""
        self.graph_ = read_network(self.file)
        super().fit(samples)
        return self

    def _raw(self, image: Array) -> tuple[Array, Array]:
        # at each picture: one that was read from a file has seen no fit
        check_choices(self, output=OUTPUTS, unit=UNITS, pixels=tuple(PIXELS), colour=COLOURS)
        graph = self.graph_ if hasattr(self, "graph_") else read_network(self.file)
        try:
            run, layout, size_hw = opened(graph, self.engine)
            matrix = crop_matrix([0, 0, image.shape[1], image.shape[0]], size_hw, 1.0)
            colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
            seen = as_input(warp(colour, matrix, size_hw), layout, self.pixels, self.colour)
            corners, share = self._read([np.asarray(out, float) for out in run(seen)])
        except InputError as error:
            raise InputError(f"{self.file or 'onnx'}: {error}") from None
        good = np.isfinite(corners).all(1) & (share >= self.least) & (corners[:, 2:] > corners[:, :2]).all(1)
        best = np.flatnonzero(good)[np.argsort(-share[good], kind="stable")[:MOST]]
        size = np.array(size_hw[::-1] * 2 if self.unit == "share" else (1, 1, 1, 1), float)
        low, high = np.split(corners[best] * size, 2, axis=1)
        boxes = map_box(invert_affine(matrix), np.concatenate([low, high - low], 1))
        share = np.clip(share[best], 1e-6, 1 - 1e-6)
        return boxes, np.log(share / (1 - share))

    def _read(self, outputs: list[Array]) -> tuple[Array, Array]:
        """Corners (N, 4) x0, y0, x1, y1 in units of the input, and scores (N,)."""
        first, kind = outputs[0], self.output
        if kind == "auto":
            several = len(outputs) > 1
            kind = "boxes" if several else "corners" if first.ndim == 3 and first.shape[2] == 6 else "yolo"
        if kind == "boxes":
            return _of_boxes(outputs)
        numbers = first.shape[-1] if kind == "corners" else min(first.shape[1:], default=0)
        if first.ndim != 3 or first.shape[0] != 1 or numbers < (6 if kind == "corners" else 5):
            raise InputError(f"its output {first.shape} holds no boxes that are known: say output=")
        if kind == "corners":
            rows = first[0]
            wanted = np.ones(len(rows), bool) if self.category is None else rows[:, 5] == self.category
            return rows[wanted, :4], rows[wanted, 4]
        rows = first[0] if first.shape[2] < first.shape[1] else first[0].T
        classes = rows[:, 4:]
        if self.category is not None and not 0 <= self.category < classes.shape[1]:
            raise InputError(f"it knows {classes.shape[1]} classes, and none with the number {self.category}")
        half = rows[:, 2:4] / 2
        share = classes.max(1) if self.category is None else classes[:, self.category]
        return np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1), share


def _of_boxes(outputs: list[Array]) -> tuple[Array, Array]:
    corners = next((out.reshape(-1, 4) for out in outputs if out.ndim and out.shape[-1] == 4), None)
    if corners is not None:
        others = [out.ravel() for out in outputs if out.size == len(corners)]
        score = next((s for s in others if (s != np.round(s)).any()), others[0] if others else None)
        if score is not None:
            return corners, score
    told = ", ".join(str(out.shape) for out in outputs)
    raise InputError(f"its outputs {told} are no boxes (N, 4) and scores (N,): say output=")
