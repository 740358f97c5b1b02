"""What the page is told: one state of its sliders in, the altered crop and what each detector says of it out.

Everything is plain values and bytes in base64, so that it can be sent; points are in px of the altered crop.
Nothing is drawn, and no error is computed here: the page does both, with or without a server.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..explain.evidence import inside, maps_inside, spread
from ..imaging import apply_affine, as_uint8, resize_matrix, warp
from ..imaging.crops import usable_box
from ..metrics import normalizer_lengths
from ..structures import Array, Contributing, InputError, Problem, Voices, stages_of, supports
from .altering import altered, checked_knobs, cut_plate, placed
from .models import Model, Models

MOST_COLUMNS = 3
MOST_SIDE = 1600  #: px of a picture of the user's; larger ones are made smaller
MOST_OWN = 8  #: pictures of the user's that are kept at a time, the latest


@dataclass(frozen=True, eq=False)
class Plate:
    """A picture that can be chosen."""

    name: str
    image: Array  #: (2 S, 2 S, 3) uint8
    xy: Array  #: (K, 2) true points on the plate; NaN where nobody knows
    length: float  #: px of the plate that errors are divided by; NaN where nobody knows


class Classroom:
    """Models and pictures, asked by the states of a page; many threads may ask.

    Parameters
    ----------
    models : see :func:`.small_models`
    data : its val part gives the pictures, the first object of each

    Raises
    ------
    InputError
        Where no picture is left.
    """

    def __init__(self, models: Models, data: Problem) -> None:
        self.models = models
        self.own: OrderedDict[str, Array] = OrderedDict()
        self._lock = threading.Lock()
        self._n_own = 0
        known = tuple(data.val.landmarks) == models.landmarks
        self.normalizer = tuple(data.normalizer or data.val.normalizer)
        plates = [self._plate(s, known) for s in data.val.samples if s.instances]
        plates.sort(key=lambda plate: -plate.image.mean())  # a well-lit one is shown at first
        self.plates = {str(n): plate for n, plate in enumerate(plates)}
        if not plates:
            raise InputError(f"{data.val.name}: no picture has an object; give other data")

    def _plate(self, sample: Any, known: bool) -> Plate:
        instance, image = sample.instances[0], as_uint8(sample.image, sample.name)
        box, _ = usable_box(instance.box_xywh, image.shape[:2])
        around = [0, 0, *image.shape[1::-1]] if box is None else box
        plate, matrix = cut_plate(image, around, self.models.side, self.models.margin)
        k = len(self.models.landmarks)
        xy = apply_affine(matrix, instance.xy) if known else np.full((k, 2), np.nan)
        # of the picture, as the data are measured; then of the plate
        truth, box = instance.xy[None], instance.box_xywh[None]
        length = normalizer_lengths(truth, self.normalizer, box, [sample.mm_per_px])[0]
        return Plate(sample.name, plate, xy, float(length * matrix[0, 0]) if known else np.nan)

    def take(self, image: Array) -> str:
        """Keep a picture (h, w[, 3]) of the user's; the name by which states call it."""
        scale = MOST_SIDE / max(image.shape[:2])
        if scale < 1:
            h, w = (max(2, round(scale * n)) for n in image.shape[:2])
            image = warp(image, resize_matrix(scale), (h, w))
        with self._lock:
            self._n_own += 1
            name = f"own{self._n_own}"
            self.own[name] = image
            while len(self.own) > MOST_OWN:
                self.own.popitem(last=False)
        return name

    def answer(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What the page shows for one state.

        Parameters
        ----------
        state : ``picture`` (a name), ``models`` (names, at most three), ``landmark`` (number), ``knobs``
            (key -> value) and, for a picture of the user's, ``part``: x, y of the middle and the side of the
            square that is looked at, in shares of the picture's width, height and shorter side

        Raises
        ------
        InputError
            For anything else in it.
        """
        if not isinstance(state, Mapping):
            raise InputError("a state is an object of picture, models, landmark and knobs")
        plate, knobs = self._chosen(state), checked_knobs(_mapping(state.get("knobs", {})))
        k = _whole(state.get("landmark", 0), len(self.models.landmarks))
        truth = placed(plate.xy, len(plate.image), knobs)
        crop = altered(plate.image, knobs, truth[k])
        with self._lock:  # networks are asked one at a time: two would only share the same cores
            said = [_said(model, crop, k) for model in self._asked(state.get("models", []))]
        return {
            "crop": _packed(crop),
            "truth": points_or_null(truth),
            "length": number_or_null(plate.length * knobs["scale"]),
            "models": said,
        }

    def _chosen(self, state: Mapping[str, Any]) -> Plate:
        name = state.get("picture")
        name = name if isinstance(name, str) else ""
        if name in self.plates:
            return self.plates[name]
        with self._lock:
            image = self.own.get(name)
        if image is None:
            raise InputError(f"no picture {name!r:.40}: choose one again")
        part = state.get("part", [0.5, 0.5, 1.0])
        if not (isinstance(part, Sequence) and len(part) == 3):
            raise InputError("part: x, y and side, shares of the picture")
        x, y, share = (_share(value) for value in part)
        return own_plate(image, (x, y, max(share, 0.05)), self.models)

    def _asked(self, names: Any) -> list[Model]:
        known = {model.name: model for model in self.models.models}
        if not isinstance(names, list) or len(names) > MOST_COLUMNS:
            raise InputError(f"models: a list of at most {MOST_COLUMNS} names")
        for name in names:
            if not isinstance(name, str) or name not in known:
                raise InputError(f"no model {name!r:.60}: there are {', '.join(known)}")
        return [known[name] for name in names]


def own_plate(image: Array, part: tuple[float, float, float], models: Models) -> Plate:
    """The plate around a square of a user's picture, which is the crop (no margin is added)."""
    h, w = image.shape[:2]
    side = part[2] * min(h, w)
    box = [part[0] * w - side / 2, part[1] * h - side / 2, side, side]
    plate, _ = cut_plate(image, box, models.side, 1.0)
    return Plate("own", plate, np.full((len(models.landmarks), 2), np.nan), float("nan"))


def _said(model: Model, crop: Array, k: int) -> dict[str, Any]:
    """What one model says of a crop."""
    detector = model.detector
    _, score = detector.predict_with_score(crop[None])
    out: dict[str, Any] = {
        "name": model.name,
        "stages": [
            {"name": stage.name, "xy": points_or_null(stage.xy[0])}
            for stage in stages_of(detector, crop[None], "points")
        ],
        "score": [number_or_null(v) for v in score[0]],
        "map": None,
        "voices": [],
    }
    way, maps = maps_inside(detector, crop)
    if maps is not None:
        out["map"] = _map(maps[k], "response", way)
    elif supports(detector, Contributing):
        found = detector.contributions(crop, k)
        out["map"] = _map(spread(found, np.abs(found.value), crop.shape[:2]), "exact parts", "")
    voices = next((part for _, part in inside(detector) if supports(part, Voices)), None)
    if voices is not None:
        out["voices"] = [
            {"name": v.name, "xy": points_or_null(v.xy[0]), "weight": number_or_null(v.weight[0, k])}
            for v in voices.voices(crop[None])
        ]
    return out


def _map(values: Array, kind: str, way: str) -> dict[str, Any]:
    """A map (h, w) of what is not negative, scaled to its peak."""
    values = np.maximum(np.nan_to_num(values), 0)
    scaled = np.rint(255 * values / max(float(values.max()), 1e-12)).astype(np.uint8)
    return {"kind": kind, "of": way, "size_hw": list(scaled.shape), "values": _packed(scaled)}


# --------------------------------------------------------------------------------------------
# values
# --------------------------------------------------------------------------------------------


def _packed(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def number_or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def points_or_null(xy: ArrayLike) -> list[list[float] | None]:
    """Points (K, 2) as JSON has them."""
    return [p.tolist() if np.isfinite(p).all() else None for p in np.asarray(xy, float)]


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError("knobs: an object of slider -> number")
    return value


def _whole(value: Any, below: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise InputError(f"landmark {value!r:.40}: give 0 to {below - 1}")
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"part: {value!r:.40} is no share of the picture, 0 to 1")
    return float(value)
