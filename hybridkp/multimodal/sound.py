"""Sound as rows of numbers: log-mel energies and cepstral coefficients.

Waves (n,) or (B, n) float32 go in, frames (T, D) or rows (B, D) come out; SciPy does the transforms.
Never here: files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct
from scipy.signal import stft
from sklearn.base import BaseEstimator, TransformerMixin

from ..files.sounds import SILENT
from ..structures import SOUND_HZ, Array, InputError

FRAME_S, HOP_S = 0.025, 0.010  #: seconds of a frame and between two
_MOVED, _NOISE = round(0.04 * SOUND_HZ), 0.1  #: samples, and parts of the spread, of varied copies
FLOOR = 1e-10  #: energy below which it is silence


def log_mel(wave: ArrayLike, rate: int = SOUND_HZ, n_mels: int = 26) -> Array:
    """Logarithm of the energies in ``n_mels`` triangular bands of the mel scale.

    Parameters
    ----------
    wave : (n,) float
    rate : Hz
    n_mels : bands between 60 Hz and half the rate

    Returns
    -------
    (T, n_mels) float32, T = 1 + n // hop: frames of 25 ms, 10 ms apart, Hann window; natural logarithm

    Raises
    ------
    InputError
        A wave that is not (n,), shorter than one frame, or not finite.

    References
    ----------
    S. Davis, P. Mermelstein, Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences, IEEE Trans. ASSP 1980.

    Examples
    --------
    >>> t = np.arange(1600) / 16000
    >>> energy = log_mel(np.sin(2 * np.pi * 1000 * t))
    >>> energy.shape, int(energy.mean(0).argmax())
    ((11, 26), 8)
    """
    x = np.asarray(wave, np.float64)
    size, hop = round(FRAME_S * rate), round(HOP_S * rate)
    if x.ndim != 1 or len(x) < size:
        raise InputError(
            f"a wave of shape {x.shape} is too short: {FRAME_S:g} s at {rate} Hz are {size} samples"
        )
    if not np.isfinite(x).all():
        raise InputError("a wave must be finite; read_sound makes what is not 0")
    _, _, found = stft(x, rate, nperseg=size, noverlap=size - hop, nfft=_nfft(size), padded=False)
    power = np.abs(found.T) ** 2  # (T, F)
    return np.log(power @ _filters(rate, n_mels, _nfft(size)).T + FLOOR).astype(np.float32)


def mfcc(energy: ArrayLike, n_coefficients: int = 13) -> Array:
    """Cepstral coefficients (T, n_coefficients) float32 of :func:`log_mel` energies (T, M): a DCT over bands.

    >>> np.abs(mfcc(np.ones((2, 26)), 3)).round(2)  # a flat spectrum has no shape
    array([[5.1, 0. , 0. ],
           [5.1, 0. , 0. ]], dtype=float32)
    """
    found = np.asarray(energy, np.float64)
    return dct(found, type=2, axis=-1, norm="ortho")[..., :n_coefficients].astype(np.float32)


def deltas(rows: ArrayLike, reach: int = 2) -> Array:
    """Slope of each column of (T, D) over ``reach`` frames to both sides, per frame; the ends repeat.

    >>> deltas(np.arange(6.0)[:, None])[2:4].ravel()  # one a frame
    array([1., 1.], dtype=float32)
    """
    x = np.asarray(rows, np.float64)
    padded = np.pad(x, ((reach, reach), (0, 0)), mode="edge")
    t, total = len(x), np.zeros_like(x)
    for k in range(1, reach + 1):
        total += k * (padded[reach + k : reach + k + t] - padded[reach - k : reach - k + t])
    return (total / (2 * sum(k * k for k in range(1, reach + 1)))).astype(np.float32)


def varied_sound(waves: ArrayLike, random_state: int = 0) -> Array:
    """Waves (B, n) as they might have been recorded as well: moved in time, with noise.

    Each is moved by up to 40 ms either way, silence follows; noise is up to a tenth as loud as the wave.

    >>> waves = np.ones((2, 8000), np.float32)
    >>> moved = varied_sound(waves)
    >>> moved.shape, bool(0.8 < moved.mean() < 1), bool((moved[0] != moved[1]).any())
    ((2, 8000), True, True)
    """
    rng, out = np.random.default_rng(random_state), np.zeros(np.shape(waves), np.float32)
    for row, wave in zip(out, np.asarray(waves, np.float32), strict=True):
        by = int(rng.integers(-_MOVED, _MOVED + 1))
        moved = wave[max(-by, 0) : len(wave) - max(by, 0)]
        row[max(by, 0) :][: len(moved)] = moved
        row += rng.uniform(0, _NOISE) * wave.std() * rng.standard_normal(len(wave), np.float32)
    return out


def _nfft(size: int) -> int:
    return 1 << (size - 1).bit_length()


@lru_cache(maxsize=8)
def _filters(rate: int, n_mels: int, nfft: int) -> Array:
    """(M, F) triangles whose corners lie evenly on the mel scale."""
    if n_mels < 2:
        raise InputError(f"n_mels must be at least 2, got {n_mels}")
    low, high = (2595 * np.log10(1 + f / 700) for f in (60.0, rate / 2))
    corners = 700 * (10 ** (np.linspace(low, high, n_mels + 2) / 2595) - 1)
    f = np.arange(nfft // 2 + 1) * rate / nfft
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0, np.minimum((f - left) / (middle - left), (right - f) / (right - middle)))


@dataclass(eq=False, repr=False)
class SoundRows(TransformerMixin, BaseEstimator):
    """One row for each window of sound: means and slopes of its coefficients in a few parts, in order.

    Parameters
    ----------
    n_coefficients : cepstral coefficients; 0 = the log-mel energies themselves
    n_mels : bands
    segments : parts of the window, so that a row knows what came first
    rate : Hz

    Notes
    -----
    Nothing is learned.  A window that is silent (root mean square below -80 dB of full scale) says nothing:
    its row is NaN, as for any sense that is missing.

    Examples
    --------
    >>> windows = np.random.default_rng(0).normal(0, 0.1, (3, 6400)).astype(np.float32)
    >>> SoundRows(segments=2).fit_transform(windows).shape  # 2 x (13 means, 13 slopes) and 13 spreads
    (3, 65)
    """

    n_coefficients: int = 13
    n_mels: int = 26
    segments: int = 4
    rate: int = SOUND_HZ

    def fit(self, windows: Any, y: Any = None) -> SoundRows:
        """Nothing is learned; the windows' (B, n) length is noted."""
        if self.segments < 1 or not 0 <= self.n_coefficients <= self.n_mels:
            raise InputError(
                f"SoundRows: need segments >= 1 and 0 <= n_coefficients <= n_mels, got {self.segments},"
                f" {self.n_coefficients}, {self.n_mels}"
            )
        self.length_ = _windows(windows).shape[1]
        return self

    def transform(self, windows: Any) -> Array:
        """(B, n) float -> (B, D) float32."""
        waves = _windows(windows)
        return np.stack([self._row(wave) for wave in waves]) if len(waves) else np.zeros((0, self._width()))

    def _row(self, wave: Array) -> Array:
        if not np.isfinite(wave).all() or np.sqrt(np.mean(np.square(wave, dtype=np.float64))) < SILENT:
            return np.full(self._width(), np.nan, np.float32)
        found = log_mel(wave, self.rate, self.n_mels)
        found = mfcc(found, self.n_coefficients) if self.n_coefficients else found
        both = np.concatenate([found, deltas(found)], axis=1)
        parts = [part.mean(0) for part in np.array_split(both, self.segments)]
        return np.concatenate([*parts, found.std(0)]).astype(np.float32)

    def _width(self) -> int:
        return (2 * self.segments + 1) * (self.n_coefficients or self.n_mels)


def _windows(windows: Any) -> Array:
    waves = np.asarray(windows)
    if waves.ndim != 2 or waves.dtype.kind != "f":
        raise InputError(f"sound must be windows (B, n) of float, got {waves.shape} {waves.dtype}")
    return waves
