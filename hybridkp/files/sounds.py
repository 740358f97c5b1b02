"""Reads sound files: mono, at one rate, and the part around a time.

Decoded by ``soundfile`` (extra ``sound``).  (n,) float32 in -1..1 comes out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np

from ..structures import SOUND_HZ, Array, InputError

SOUND_SECONDS = 0.5  #: around a picture's time
SILENT = 1e-4  #: root mean square, of full scale: -80 dB
FULL, RUN = 0.9999, 3  #: of the largest sample: at so much, so often in a row, a wave is clipped
MAX_SECONDS = 4 * 3600.0  #: longer files are refused before they are decoded


def read_sound(path: str | os.PathLike[str]) -> Array:
    """(n,) float32 at :data:`~hybridkp.structures.SOUND_HZ`, the mean of its channels.

    Raises
    ------
    InputError
        When the file is missing, no sound, empty or over four hours, and where ``soundfile`` is needed.
    """
    values, rate = _decoded(path)
    mono = np.nan_to_num(values.mean(axis=1, dtype=np.float32), posinf=0.0, neginf=0.0)
    return _resampled(mono, rate)


@dataclass(frozen=True)
class SoundFacts:
    """What :func:`sound_facts` finds in a file; ``faults`` as of :func:`sound_faults`."""

    rate: int  #: Hz
    channels: int
    seconds: float
    faults: tuple[str, ...]


def sound_facts(path: str | os.PathLike[str]) -> SoundFacts:
    """Rate, channels and length of a file as it lies there, and what is wrong with its samples.

    Raises
    ------
    InputError
        As :func:`read_sound`.
    """
    values, rate = _decoded(path)
    faults = sound_faults(values.mean(axis=1, dtype=np.float64))
    return SoundFacts(rate, values.shape[1], len(values) / rate, tuple(faults))


def sound_faults(wave: Array) -> list[str]:
    """What is wrong with a wave (n,): "clipped", "silent", "not finite"; nothing where all is well.

    Clipped: the largest value stands three times in a row or more, in more than one sample of ten thousand.

    >>> loud = np.clip(3 * np.sin(np.arange(4000) / 20), -1, 1)
    >>> sound_faults(loud), sound_faults(np.zeros(100)), sound_faults(0.5 * np.sin(np.arange(4000) / 20))
    (['clipped'], ['silent'], [])
    """
    x = np.asarray(wave, np.float64)
    good = np.isfinite(x)
    out = [] if good.all() else ["not finite"]
    x = np.abs(np.where(good, x, 0))
    if not len(x) or np.sqrt(np.mean(x**2)) < SILENT:
        return [*out, "silent"]
    full = x >= FULL * x.max()
    runs = np.convolve(full, np.ones(RUN), "valid") >= RUN
    if runs.sum() > max(1, len(x) // 10_000):
        out.append("clipped")
    return out


def _decoded(path: str | os.PathLike[str]) -> tuple[Array, int]:
    """(n, channels) float32 and the rate, Hz."""
    try:
        import soundfile
    except ImportError:
        raise InputError(f"{path}: sound needs soundfile: pip install 'hybridkp[sound]'") from None

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path!s:.200}: no such sound file; check the path")
    try:
        facts = soundfile.info(str(path))
        if facts.samplerate < 1 or not 0 < facts.frames <= MAX_SECONDS * facts.samplerate:
            raise InputError(f"{path}: holds {facts.frames} samples; give up to four hours of sound")
        values, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: not a sound file that can be read ({error}); save it as FLAC") from None
    return values, int(rate)


def _resampled(values: Array, rate: int) -> Array:
    if rate == SOUND_HZ:
        return values
    from scipy.signal import resample_poly

    common = gcd(rate, SOUND_HZ)
    return np.asarray(resample_poly(values, SOUND_HZ // common, rate // common), np.float32)


@lru_cache(maxsize=8)
def _kept(path: str, changed: int) -> Array:
    """One file's sound for the many pictures beside it."""
    values = read_sound(path)
    values.setflags(write=False)
    return values


def read_sound_at(path: str | os.PathLike[str], time: float, seconds: float = SOUND_SECONDS) -> Array:
    """(n,) float32 of ``seconds`` around a time; zeros before the beginning and after the end.

    Raises
    ------
    InputError
        As :func:`read_sound`, and for a time that lies outside the file.
    """
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError:
        changed = 0
    sound = _kept(str(path), changed)
    n, centre = round(seconds * SOUND_HZ), round(time * SOUND_HZ)
    if not -n // 2 < centre < len(sound) + n // 2:
        length = len(sound) / SOUND_HZ
        raise InputError(f"{path}: is {length:.2f} s long, and a picture's time in it {time:.2f} s")
    first = centre - n // 2
    part = sound[max(0, first) : max(0, first + n)]
    out = np.zeros(n, np.float32)
    at = max(0, -first)
    out[at : at + len(part)] = part
    return out
