"""SURF, written from the paper and fitted to the output of its authors' own program.

Interest points and rows for whole pictures, and rows at given points of a pyramid level.  The
arithmetic lives in ``_surf_hessian.py`` and ``_surf_rows.py``; here are parameters, conventions
and checks.  No OpenCV object is kept: OpenCV's SURF is not in the wheels, ours needs NumPy and
``cv2.integral``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..imaging.images import as_uint8, to_grey
from ..imaging.pyramid import level_points
from ..structures import Array, InputError, Keypoints, Parameters, Pyramid, check_whole
from ._surf_hessian import integral, lobes, octave_maxima
from ._surf_rows import orientations, rows
from .pictures import OfPictures

#: s = 1.2 at the 9 px filter, so s = SCALE_OF_SIZE * Keypoints.size
SCALE_OF_SIZE = 1.2 / 9
_WIDEST_LOBE = 1000  # px; 3 x 2 x 1000^2 pixels of 255 still fit an int32


@dataclass(eq=False, repr=False)
class SURF(OfPictures, Parameters):
    """Speeded-up robust features (Bay, Ess, Tuytelaars, Van Gool 2008).

    Parameters
    ----------
    extended : bool
        128 features in place of 64.
    upright : bool
        No orientation (U-SURF): for pictures, and landmarks, that are never turned.
    threshold : float
        Least determinant of the Hessian, in grey levels squared, of a point.  The default gives
        what the authors' program gives with its 1000.
    n_octaves, n_octave_layers : int
        Octave o looks for blobs at ``n_octave_layers`` filter sizes (15, 21, 27 px; then 33, 45,
        57; ...), between one smaller and one larger.
    sampling_step : int
        Distance in px of the samples of the first octave; it doubles with each octave.
    size_px : float or None
        Overrides the size of every point, in px of the *level*, when describing given points.
    level : int
        Pyramid level that :meth:`describe` looks at.

    Notes
    -----
    ``Keypoints.size`` is the side of the box filter in px, as in OpenCV: the paper's scale is
    ``s = size * 1.2 / 9``, the radius in the authors' files 2.5 s, and a row sees a square of
    20 s = 2.67 sizes.  ``angle`` is in degrees, clockwise as on screen; NaN with ``upright``.
    ``octave`` packs octave, layer and Laplacian: see :func:`unpack_octave`.

    Departures from the paper, all measured on the output of the authors' program: filters of
    n_octave_layers + 2 sizes per octave, beginning at 9, 21, 45, 93 px; larger lobes in the mixed
    derivative with a weight of 0.6; s larger by 0.4 (2^o - 1) px in octave o; wavelets of 4.7 s
    and a Gaussian of 2.5 s in the orientation; wavelets of 2.7 s and a Gaussian of 12 s in the
    rows, whose samples are shared bilinearly between subregions.

    References
    ----------
    H. Bay, A. Ess, T. Tuytelaars, L. Van Gool, Speeded-up robust features (SURF), CVIU 110(3),
    2008.  M. Brown, D. Lowe, Invariant features from interest point groups, BMVC 2002.
    """

    norm = "L2"

    extended: bool = False
    upright: bool = False
    threshold: float = 38.4
    n_octaves: int = 4
    n_octave_layers: int = 3
    sampling_step: int = 2
    size_px: float | None = None
    level: int = 0

    @property
    def n_features(self) -> int:
        return 128 if self.extended else 64

    def detect(self, image: Array) -> Keypoints:
        """Blobs of a picture, strongest first, with size, angle and packed octave.

        Parameters
        ----------
        image : (H, W) or BGR (H, W, 3)
            uint8, or what :func:`hybridkp.imaging.images.as_uint8` takes.

        Raises
        ------
        InputError
            For a picture that is none, and parameters out of range.
        """
        grey = to_grey(as_uint8(image))
        points = self._blobs(grey)
        return points if self.upright else self._turned(grey, points)

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, 64 or 128) float32 of unit length, row i for keypoint i.

        Unless upright, a point is turned by its own angle; where that is NaN, by the orientation
        found here.  Beyond the border the picture goes on with the border's pixels; a blank
        neighbourhood gives a zero row.

        Raises
        ------
        InputError
            For a level the pyramid lacks, points that are NaN, sizes that are not positive.
        """
        image, xy = level_points(pyramid, keypoints, self.level)
        if self.size_px is None:
            size = keypoints.size.astype(np.float64) * float(pyramid.scale[self.level])
        else:
            size = np.full(len(keypoints), float(self.size_px))
        return self._rows(image, xy, size, keypoints.angle)

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """:meth:`detect`, and the rows of the points in the picture itself (``size_px`` ignored)."""
        grey = to_grey(as_uint8(image))
        points = self.detect(grey)
        return points, self._rows(
            grey, points.xy.astype(np.float64), points.size.astype(np.float64), points.angle
        )

    def _blobs(self, grey: Array) -> Keypoints:
        for name in ("n_octaves", "n_octave_layers", "sampling_step"):
            check_whole(getattr(self, name), f"SURF: {name}", 1)
        if not self.threshold > 0:
            raise InputError(f"SURF: threshold must be positive, got {self.threshold}")
        widest = int(lobes(self.n_octaves - 1, self.n_octave_layers)[-1])
        table = integral(grey if widest <= _WIDEST_LOBE else grey.astype(np.float32))
        xy, score, size, octave = [np.zeros((0, 2))], [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int32)]
        for o in range(self.n_octaves):
            found = octave_maxima(table, o, self.n_octave_layers, self.sampling_step << o, self.threshold)
            if found is None:
                break
            xy.append(found["xy"])
            score.append(found["score"])
            size.append(found["scale"] / SCALE_OF_SIZE)
            octave.append(pack_octave(o, found["layer"], found["sign"]))
        strength = np.concatenate(score)
        order = np.argsort(-strength, kind="stable")
        return Keypoints(
            np.concatenate(xy)[order],
            score=strength[order],
            size=np.concatenate(size)[order],
            octave=np.concatenate(octave)[order],
        )

    def _turned(self, grey: Array, points: Keypoints) -> Keypoints:
        scale = points.size.astype(np.float64) * SCALE_OF_SIZE
        angle = orientations(grey, points.xy.astype(np.float64), scale)
        return Keypoints(points.xy, points.score, points.size, angle, points.octave, points.label)

    def _rows(self, grey: Array, xy: Array, size: Array, angle: Array) -> Array:
        if not (np.isfinite(size) & (size > 0)).all():
            raise InputError("SURF: sizes must be positive px; give size_px or keypoints with a size")
        scale = size * SCALE_OF_SIZE
        if self.upright:
            angle = np.zeros(len(xy), np.float32)
        elif np.isnan(angle).any():
            angle = angle.copy()
            lost = np.isnan(angle)
            angle[lost] = orientations(grey, xy[lost], scale[lost])
        return rows(grey, xy, scale, angle, self.extended)


def pack_octave(octave: int, layer: Array, sign: Array) -> Array:
    """(N,) int32: octave in bits 0..7, layer in bits 8..15, sign of the Laplacian + 1 in bits 16..17."""
    return (
        octave | (np.asarray(layer, np.int32) << 8) | ((np.asarray(sign) + 1).astype(np.int32) << 16)
    ).astype(np.int32)


def unpack_octave(packed: Array) -> tuple[Array, Array, Array]:
    """Octave (from 0), layer (from 1) and sign of the Laplacian (1 = dark blob, -1 = bright blob).

    Blobs of opposite sign never match: comparing the sign first makes matching faster.
    """
    packed = np.asarray(packed, np.int32)
    return packed & 255, (packed >> 8) & 255, ((packed >> 16) & 3) - 1
