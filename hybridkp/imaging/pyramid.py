"""Gaussian and difference-of-Gaussian pyramids of one grey picture, aligned to the pixel's centre.

Pictures go in, :class:`~hybridkp.structures.Pyramid` comes out: (H_l, W_l) float32 levels in
0..255, each with its scale and its honest blur.  Never here: points of interest, learning, files.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..structures import Array, InputError, Keypoints, Pyramid
from .geometry import resize_points
from .images import as_uint8, to_grey

MIN_LEVEL_SIDE = 8  #: px; the pyramid stops before a level would be smaller

#: px; the blur a sharp picture is taken to have (Lowe 2004, section 3.3)
NOMINAL_SIGMA = 0.5


def gaussian_pyramid(
    image: Array, n_levels: int = 3, scale: float = 0.5, sigma0: float = NOMINAL_SIGMA
) -> Pyramid:
    """Ever smaller copies of a picture, each blurred by what its coarser grid can carry.

    Level 0 is the input itself.  A point x of the input lies at ``(x + 1/2) * scale[l] - 1/2`` in
    level l, exactly and for any size of picture: levels of odd pictures are sampled on that grid,
    not stretched to fit.  Every level has about the same blur ``sigma0`` in its own pixels.

    Parameters
    ----------
    image : (H, W) or BGR (H, W, 3)
        uint8, or what :func:`hybridkp.imaging.images.as_uint8` takes; a float (H, W) picture, by the same
        rule in 0..1 or 0..255, is not rounded.
    n_levels : int
        How many levels at most.  A level with a side under 8 px is left out, and all after it.
    scale : float in (0, 1)
        Size of each level relative to the one before.
    sigma0 : float
        Blur the input is taken to have, in px.

    Returns
    -------
    Pyramid
        ``sigma[l]``, in px of the input, is the blur that level really has (``sigma0 / scale[l]``
        within 0.1 % when halving): sampled kernels and the averaging of the resampling counted in.

    Raises
    ------
    InputError
        For a picture that is none, fewer than one level, or a scale outside (0, 1).

    References
    ----------
    P. J. Burt, E. H. Adelson, The Laplacian pyramid as a compact image code, IEEE Transactions
    on Communications 31(4), 1983.  Departure: Gaussian kernels of exact width in place of the
    5-tap filter, and pixel centres in place of the even pixels (``cv2.pyrDown`` puts level l
    ``(1/scale[l] - 1) / 2`` input px up and left of ours).
    """
    if n_levels < 1 or not 0 < scale < 1 or not sigma0 >= 0:
        raise InputError(
            f"a pyramid needs n_levels >= 1, 0 < scale < 1 and sigma0 >= 0, got {n_levels}, {scale}, {sigma0}"
        )
    levels, scales, variances = [_as_grey(image)], [1.0], [float(sigma0) ** 2]
    while len(levels) < n_levels:
        h, w = levels[-1].shape
        if min(round(h * scale), round(w * scale)) < MIN_LEVEL_SIDE:
            break
        level, added = _shrink(levels[-1], scale, sigma0)
        levels.append(level)
        variances.append(variances[-1] + added / scales[-1] ** 2)
        scales.append(scales[-1] * scale)
    return Pyramid(tuple(levels), np.array(scales), np.sqrt(variances))


def dog_pyramid(pyramid: Pyramid, ratio: float = 1.6) -> Pyramid:
    """Difference of Gaussians on every level: the level blurred ``ratio`` times wider, minus it.

    Parameters
    ----------
    pyramid : from :func:`gaussian_pyramid`
    ratio : float above 1
        1.6 comes closest to the Laplacian of a Gaussian (Marr & Hildreth 1980); Lowe (2004) takes
        2 ** (1/3) with three scales per octave.

    Returns
    -------
    Pyramid
        Signed float32 levels, positive in dark blobs as the scale-normalised Laplacian is; the
        same scales and, as ``sigma``, the narrower of the two blurs.
    """
    if not ratio > 1:
        raise InputError(f"dog_pyramid: ratio must be above 1, got {ratio}")
    levels = []
    for level, scale, sigma in zip(pyramid.levels, pyramid.scale, pyramid.sigma, strict=True):
        extra = float(sigma * scale) * np.sqrt(ratio**2 - 1)
        levels.append(_blur(level, extra) - level)
    return Pyramid(tuple(levels), pyramid.scale, pyramid.sigma)


def level_points(pyramid: Pyramid, keypoints: Keypoints, level: int) -> tuple[Array, Array]:
    """One level and the keypoints (given in input px) on it: (H_l, W_l) float32, (N, 2) float.

    On the input's own level they are ``keypoints.xy`` itself: not to be written to.

    Points that lie far outside are brought to within three picture sizes of it: no descriptor
    sees the difference, and no integer overflows.

    Raises
    ------
    InputError
        When the pyramid has no such level, or a point is NaN or infinite.
    """
    if not 0 <= level < len(pyramid):
        h, w = pyramid.levels[0].shape
        raise InputError(
            f"level {level} asked of a pyramid of {len(pyramid)} levels ({h} x {w} px at its finest):"
            " build it with more n_levels, or give larger crops"
        )
    image, scale = pyramid.levels[level], float(pyramid.scale[level])
    xy = keypoints.xy if scale == 1 else resize_points(keypoints.xy, scale)
    reach = 3.0 * max(image.shape) + 64
    if len(xy) and not cv2.checkRange(xy, True, minVal=-reach, maxVal=reach)[0]:  # also for NaN
        if not np.isfinite(xy).all():
            bad = int(np.flatnonzero(~np.isfinite(xy).all(axis=1))[0])
            raise InputError(f"keypoint {bad} has no finite position: drop NaN points before describing")
        xy = np.clip(xy, -reach, reach)
    return image, xy


def sub_pyramid(pyramid: Pyramid, first: int) -> Pyramid:
    """The levels from ``first`` on; scales and blurs still refer to the picture's input px."""
    if not 0 <= first < len(pyramid):
        raise InputError(f"level {first} asked of a pyramid of {len(pyramid)} levels: give larger crops")
    return Pyramid(pyramid.levels[first:], pyramid.scale[first:], pyramid.sigma[first:])


def _as_grey(image: Array) -> Array:
    """(H, W) float32 in 0..255."""
    image = np.asarray(image)
    checked = as_uint8(image)  # one set of rules and complaints for all
    if image.ndim == 2 and np.issubdtype(image.dtype, np.floating):
        return np.ascontiguousarray(image * (255.0 if image.max() <= 1.5 else 1.0), np.float32)
    return to_grey(checked).astype(np.float32)


def _blur(image: Array, sigma: float) -> Array:
    """Gaussian blur, border pixels repeated; the kernel reaches to 4 sigma."""
    if sigma <= 0:
        return image.copy()
    size = 2 * int(np.ceil(4 * sigma)) + 1
    return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def _shrink(image: Array, scale: float, sigma: float) -> tuple[Array, float]:
    """The next level, sampled at the pixel centres, and the variance of blur it gained (input px²)."""
    # linear interpolation at fraction f is itself a blur of variance f (1 - f): always 1/4 when
    # halving, 1/6 on average for other scales
    own = 0.25 if scale == 0.5 else 1 / 6
    wanted = sigma**2 * (1 / scale**2 - 1) - own
    added = 0.0
    if wanted > 0:
        size = 2 * int(np.ceil(4 * np.sqrt(wanted))) + 1
        kernel = cv2.getGaussianKernel(size, float(np.sqrt(wanted)), cv2.CV_32F)
        image = cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
        # a narrow kernel has less variance once it is sampled: count what it really does
        added = float((kernel[:, 0] * (np.arange(size) - size // 2) ** 2).sum())
    # without a target size OpenCV takes the factor at its word, also where it does not divide
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return small, added + own
