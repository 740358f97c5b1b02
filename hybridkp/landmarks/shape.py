"""The point distribution model: which shapes are plausible, learned from points alone.

Shapes (B, K, 2) with NaN for what is not labelled go in and come out; pictures never.  Pure
NumPy, so that an exported model can be run without scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_affine, invert_affine, resize_points, scale_of, similarity
from ..structures import Array, InputError
from .linear import row_by_row

_PARAMETERS = ("variance", "limit", "max_components", "n_iterations")


@dataclass(eq=False, repr=False)
class PointDistribution:
    """PCA of shapes that were aligned by similarity maps; copes with points that are missing.

    Parameters
    ----------
    variance : float in (0, 1]
        Share of the aligned shapes' variance that the kept components explain.
    limit : float
        Coefficients are clipped to ``limit`` standard deviations.
    max_components : int
    n_iterations : int
        Rounds of alignment, and rounds of filling in missing points.

    Attributes
    ----------
    (None before :meth:`fit`; fields of a dataclass, so that a model file can hold them)

    mean_ : (K, 2) mean shape, at the mean place, size and angle of the training shapes
    components_ : (M, 2K) orthonormal rows, x and y interleaved; M may be 0 (K = 1, or B = 1)
    sigma_ : (M,) standard deviations in px
    noise_ : float, px², variance per coordinate that the components leave over

    References
    ----------
    T. Cootes, C. Taylor, D. Cooper, J. Graham, Active shape models, CVIU 61(1), 1995.
    M. Tipping, C. Bishop, Probabilistic principal component analysis, JRSS B 61(3), 1999: how
    missing points are filled in.  Departure: the noise is estimated from labelled points only
    and floored at 1e-4 px².
    """

    variance: float = 0.98
    limit: float = 3.0
    max_components: int = 60
    n_iterations: int = 10
    mean_: Array = None  # type: ignore[assignment]
    components_: Array = None  # type: ignore[assignment]
    sigma_: Array = None  # type: ignore[assignment]
    noise_: float = None  # type: ignore[assignment]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, as scikit-learn's ``clone`` asks for them."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> PointDistribution:
        """Set parameters by name."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"PointDistribution has no parameter {name!r}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items())
        return f"PointDistribution({inside})"

    def fit(self, xy: ArrayLike) -> PointDistribution:
        """Learn from shapes (B, K, 2), NaN = not labelled; each landmark labelled at least once."""
        xy = np.asarray(xy, float)
        if not 0 < self.variance <= 1:
            raise InputError(f"PointDistribution: variance must lie in (0, 1], got {self.variance}")
        self.mean_ = _procrustes_mean(xy, self.n_iterations)
        aligned = apply_affine(similarity(xy, self.mean_[None]), xy).reshape(len(xy), -1)
        seen = np.isfinite(aligned)
        filled = np.where(seen, aligned, self.mean_.reshape(1, -1))
        rounds = 1 if seen.all() else max(1, self.n_iterations)
        for _ in range(rounds):
            self._components(filled, seen)
            if not seen.all():
                b = self._coefficients(np.where(seen, aligned, 0), seen.astype(float))
                filled = np.where(seen, aligned, self.mean_.reshape(-1) + b @ self.components_)
        return self

    def _check_fitted(self) -> None:
        if self.mean_ is None:
            raise InputError("this PointDistribution is not fitted yet: call fit first")

    def _components(self, filled: Array, seen: Array) -> None:
        centre = filled.mean(axis=0)
        centred = filled - centre
        _, singular, rows = np.linalg.svd(centred, full_matrices=False)
        power = singular**2 / max(len(filled), 1)
        total = power.sum()
        # four degrees of freedom (two for K = 1) were spent on the alignment
        most = min(self.max_components, max(filled.shape[1] - 4, 0), max(len(filled) - 1, 0))
        share = np.cumsum(power) / max(total, 1e-12)
        m = min(int(np.searchsorted(share, self.variance - 1e-12)) + 1, most) if total > 1e-9 else 0
        self.mean_ = centre.reshape(-1, 2)
        self.components_, self.sigma_ = rows[:m], np.sqrt(power[:m])
        left = (centred - centred @ rows[:m].T @ rows[:m])[seen]
        self.noise_ = float(max(np.mean(left**2) if left.size else 0.0, 1e-4))

    def _coefficients(self, aligned: Array, weights: Array) -> Array:
        """(B, M) maximum a posteriori coefficients of aligned rows (B, 2K) under weights (B, 2K)."""
        m = len(self.sigma_)
        if m == 0:
            return np.zeros((len(aligned), 0))
        rows = self.components_
        difference = weights * (aligned - self.mean_.reshape(-1))
        system = np.matmul(rows * weights[:, None], rows.T)
        system[:, np.arange(m), np.arange(m)] += self.noise_ / np.maximum(self.sigma_**2, 1e-9)
        return np.linalg.solve(system, row_by_row(difference, rows.T)[..., None])[..., 0]

    def project(self, xy: ArrayLike, weights: ArrayLike | None = None, n_iterations: int = 3) -> Array:
        """The plausible shapes closest to ``xy``.

        Parameters
        ----------
        xy : (B, K, 2); NaN points are filled in from the others
        weights : (B, K), not negative: trust in each point, 1 = as noisy as the training labels

        Returns
        -------
        (B, K, 2) float64, finite: pose by weighted least squares, coefficients clipped.  A row
        without any point is the mean shape.

        Raises
        ------
        InputError
            Before :meth:`fit`, as :meth:`in_frame` and :meth:`complete` do.
        """
        self._check_fitted()
        xy = np.asarray(xy, float)
        seen = np.isfinite(xy).all(-1)
        w = seen * (1.0 if weights is None else np.asarray(weights, float))
        points = np.where(seen[..., None], xy, 0.0)
        both = np.repeat(w, 2, axis=1)
        shape = np.broadcast_to(self.mean_, xy.shape)
        pose = np.tile(np.eye(2, 3), (len(xy), 1, 1))
        for _ in range(max(1, n_iterations)):
            pose = self._pose(points, shape, w)
            aligned = apply_affine(pose, points).reshape(len(xy), -1)
            b = self._coefficients(aligned, both)
            b = np.clip(b, -self.limit * self.sigma_, self.limit * self.sigma_)
            shape = (self.mean_.reshape(-1) + row_by_row(b, self.components_)).reshape(xy.shape)
        return apply_affine(invert_affine(pose), shape)

    def _pose(self, xy: Array, shape: Array, weights: Array) -> Array:
        """(B, 2, 3) maps of xy onto shape; a collapsed point set cannot blow the shape up."""
        pose = similarity(xy, shape, weights)
        scale = scale_of(pose)
        wild = ~((scale > 0.1) & (scale < 10))
        pose[wild] = np.eye(2, 3)
        return pose

    def in_frame(self, scale: float) -> PointDistribution:
        """The same model for pictures resized by ``scale``."""
        self._check_fitted()
        return replace(
            self,
            mean_=resize_points(self.mean_, scale),
            sigma_=self.sigma_ * scale,
            noise_=self.noise_ * scale**2,
        )

    def complete(self, xy: ArrayLike) -> Array:
        """(B, K, 2) with NaN points replaced by what the labelled ones suggest; the rest untouched."""
        self._check_fitted()
        xy = np.asarray(xy, float)
        missing = ~np.isfinite(xy).all(-1, keepdims=True)
        return np.where(missing, self.project(xy), xy) if missing.any() else xy


def _procrustes_mean(xy: Array, n_iterations: int) -> Array:
    """(K, 2) generalised Procrustes mean, kept at the shapes' mean place, size and angle."""
    with_any = np.isfinite(xy[..., 0]).any(axis=1)
    xy = xy[with_any]
    if len(xy) == 0 or np.isnan(np.nanmean(xy[..., 0], axis=0)).any():
        raise InputError("PointDistribution: every landmark must be labelled in at least one shape")
    anchor = mean = np.nanmean(xy, axis=0)
    for _ in range(max(1, n_iterations)):
        pose = similarity(xy, mean[None])
        scale = np.exp(np.mean(np.log(np.clip(scale_of(pose), 1e-3, 1e3))))
        mean = np.nanmean(apply_affine(pose, xy), axis=0)
        mean = apply_affine(similarity(mean, anchor), mean)  # back to the mean place and angle
        centre = mean.mean(axis=0)
        pose = similarity(xy, mean[None])
        scale = np.exp(np.mean(np.log(np.clip(scale_of(pose), 1e-3, 1e3))))
        mean = centre + (mean - centre) / scale  # and to the mean size
    return mean
