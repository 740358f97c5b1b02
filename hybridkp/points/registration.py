"""A homography registered again on all pixels, with its own precision, or refused: truth good to 0.2 px.

Two pictures of a plane and a homography that is right to a few px go in, a :class:`Registration` comes out.
Never here: points of any detector, descriptors, learning, metrics.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography
from ..structures import Array, InputError
from ..structures.pairs import Registration
from .local import grey_picture
from .robust import is_homography
from .two_stage import warp_onto

PRECISION_PX = 0.2  #: a registration whose halves say more than this apart is refused
MAX_MOVE_PX = 8.0  #: and one that leaves the given homography by more, on average over the overlap
LEAST_AGREEMENT = 0.3  #: of the normalised pictures: a correlation below this is no registration
LEAST_OVERLAP = 0.05  #: of the pixels of picture b
_BLURS = (4.0, 2.0, 1.0)  # px, coarse to fine; light is taken out over squares of 18 times that
_CELL = 32  # px; cells of a chessboard are the two halves
_STEPS = 12  # at each blur
_STILL_PX = 0.004  # of the corners: a shorter step has arrived
_EDGE_PX = 3
_ROBUST = 1.5  # residuals, in units of their own spread, from which a pixel counts less (Huber)


def register_homography(image_a: Array, image_b: Array, homography: ArrayLike) -> Registration:
    """The homography from picture a to picture b that makes their pixels agree best, near the given one.

    Parameters
    ----------
    image_a, image_b : (H, W) or (H, W, 3) pictures of a plane (or from one place)
    homography : (3, 3) a to b, right to about 5 px

    Returns
    -------
    Registration
        Refused, with the given homography and the reason, where too little overlaps, where the pictures do
        not agree, where two halves of the pixels (a chessboard) say different things by more than 0.2 px,
        and where the answer is more than 8 px from what was given.

    Notes
    -----
    Dense robust least squares (Gauss-Newton), coarse to fine.  Both pictures are first freed of light: minus
    their local mean, over their local spread; residuals are weighted by Huber's function, so that what is
    covered or not in the plane counts little.

    References
    ----------
    S. Baker, I. Matthews, Lucas-Kanade 20 years on: a unifying framework, IJCV 56(3), 2004.
    """
    given = np.asarray(homography, float)
    if given.shape != (3, 3):
        raise InputError(f"a homography must be a (3, 3) matrix, got {given.shape}")
    a, b = grey_picture(image_a), grey_picture(image_b)
    corners = _corners(a.shape)
    if not is_homography(given, corners):
        return _refused(given, "the given homography is not invertible")
    given = given / given[2, 2]
    found = given
    for blur in _BLURS:
        problem = _Problem(a, b, blur)
        for _ in range(_STEPS):
            step, _, enough = problem.step(found)
            if not enough:
                return _refused(given, "too little of the pictures overlaps, or it has no texture")
            found = _stepped(found, step, problem.frame)
            if not is_homography(found, corners):
                return _refused(given, "the search went astray")
            if _step_px(step, problem.frame, b.shape) < _STILL_PX:
                break
        image, seen = problem.warped(found)
        if not (agreement := _correlation(image[seen], problem.target[seen])) >= LEAST_AGREEMENT:
            return _refused(given, f"the pictures do not agree (correlation {agreement:.2f})")
    return _judged(given, found, problem)


class _Problem:
    """Both pictures at one blur, and one Gauss-Newton step towards their agreement."""

    def __init__(self, a: Array, b: Array, blur: float) -> None:
        self.a, self.b, self.blur = a, b, blur
        self.target = _normalised(b, blur)
        h, w = b.shape
        half = max(h, w) / 2
        self.frame = np.array(
            [[1 / half, 0, -(w - 1) / 2 / half], [0, 1 / half, -(h - 1) / 2 / half], [0, 0, 1]]
        )
        y, x = np.mgrid[:h, :w]
        self.x, self.y = x / half - (w - 1) / 2 / half, y / half - (h - 1) / 2 / half
        self.scale = 1 / half
        self.white = (x // _CELL + y // _CELL) % 2 == 0

    def warped(self, homography: Array) -> tuple[Array, Array]:
        """Picture a in b's frame, normalised, and the (h, w) bool pixels that it covers."""
        h, w = self.b.shape
        image = _normalised(warp_onto(self.a, homography, (h, w)), self.blur)
        inside = np.zeros(self.a.shape, np.uint8)
        inside[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX] = 255
        seen = cv2.warpPerspective(inside, homography, (w, h), flags=cv2.INTER_NEAREST) > 0
        reach = 2 * int(3 * self.blur) + 1
        seen = cv2.erode(seen.astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=0) > 0
        return image, seen

    def step(self, homography: Array) -> tuple[Array, list[Array], bool]:
        """The step (8,) of all pixels, of each half, and whether there is enough to see."""
        image, seen = self.warped(homography)
        gx = (cv2.Scharr(image, cv2.CV_32F, 1, 0) + cv2.Scharr(self.target, cv2.CV_32F, 1, 0)) / 64
        gy = (cv2.Scharr(image, cv2.CV_32F, 0, 1) + cv2.Scharr(self.target, cv2.CV_32F, 0, 1)) / 64
        at = np.flatnonzero(seen)[:: int(self.blur)]  # what is blurred says little more between
        if len(at) * int(self.blur) < LEAST_OVERLAP * seen.size:
            return np.zeros(8), [], False
        residual = (self.target - image).ravel()[at]
        spread = 1.4826 * float(np.median(np.abs(residual))) + 1e-6
        weight = np.minimum(1.0, _ROBUST * spread / np.maximum(np.abs(residual), 1e-9))
        x, y = self.x.ravel()[at], self.y.ravel()[at]
        gx, gy = gx.ravel()[at] / self.scale, gy.ravel()[at] / self.scale
        radial = gx * x + gy * y
        rows = np.stack([gx * x, gx * y, gx, gy * x, gy * y, gy, -x * radial, -y * radial])
        white = self.white.ravel()[at]
        normals, sides = [], []
        for half in (white, ~white):
            weighted = rows[:, half] * weight[half]
            normals.append(weighted @ rows[:, half].T)
            sides.append(weighted @ residual[half])
        if min(np.linalg.cond(n) for n in normals) > 1e9 or not np.isfinite(normals).all():
            return np.zeros(8), [], False
        try:
            halves = [np.linalg.solve(n, s) for n, s in zip(normals, sides, strict=True)]
            return np.linalg.solve(sum(normals), sum(sides)), halves, True
        except np.linalg.LinAlgError:
            return np.zeros(8), [], False


def _judged(given: Array, found: Array, problem: _Problem) -> Registration:
    """The registration with its figures, refused where they are too poor."""
    image, seen = problem.warped(found)
    _, halves, enough = problem.step(found)
    if not enough:
        return _refused(given, "too little of the pictures overlaps, or it has no texture")
    y, x = np.nonzero(seen)
    some = slice(None, None, max(1, len(x) // 4000))
    at = np.column_stack([x[some], y[some]]).astype(float)
    apart = [apply_homography(_stepped(np.eye(3), s, problem.frame), at) - at for s in halves]
    precision = float(np.mean(np.linalg.norm(np.stack(apart), axis=-1)))
    back = apply_homography(np.linalg.inv(found), at)
    moved = float(np.nanmean(np.linalg.norm(apply_homography(given, back) - at, axis=1)))
    agreement = _correlation(image[seen], problem.target[seen])
    reason = ""
    if not moved <= MAX_MOVE_PX:
        reason = f"the answer is {moved:.0f} px from the given homography"
    elif not precision <= PRECISION_PX:
        reason = f"two halves of the pixels differ by {precision:.2f} px"
    return Registration(given if reason else found / found[2, 2], moved, precision, agreement, reason)


def _refused(given: Array, reason: str) -> Registration:
    return Registration(given, np.nan, np.nan, np.nan, reason)


def _correlation(a: Array, b: Array) -> float:
    """-1 to 1; 0 where either has no spread."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))


def _normalised(grey: Array, blur: float) -> Array:
    """(H, W) float32 of about unit spread, without the light of its surroundings."""
    values = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), blur)
    around = (2 * int(9 * blur) + 1,) * 2
    mean = cv2.blur(values, around)
    spread = np.sqrt(np.maximum(cv2.blur((values - mean) ** 2, around), 0))
    out: Array = (values - mean) / (spread + 2.0)
    return out


def _stepped(homography: Array, step: Array, frame: Array) -> Array:
    """The homography with which picture a, in b's frame, has moved by ``step``."""
    small = np.eye(3) + np.append(step, 0).reshape(3, 3)
    moved = np.linalg.inv(frame) @ np.linalg.inv(small) @ frame @ homography
    return np.asarray(moved / moved[2, 2])


def _step_px(step: Array, frame: Array, size_hw: tuple[int, ...]) -> float:
    at = _corners(size_hw)
    return float(np.abs(apply_homography(_stepped(np.eye(3), step, frame), at) - at).max())


def _corners(size_hw: tuple[int, ...]) -> Array:
    h, w = size_hw[:2]
    return np.array([[0.0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]])
