"""Which object a crop shows: a row of bytes that goes with it through folds, files and processes.

A ticket holds the picture's name and id, the object's number, the map from the picture to the crop, and a sum
over the crop's pixels.  Letters: **B** rows.  Never here: files, learning.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from .base import Array

TICKETS = "object"  #: the modality whose rows are tickets

TICKET = np.dtype(
    [("name", "u8"), ("image_id", "i8"), ("instance", "i8"), ("pixels", "u4"), ("matrix", "f8", (2, 3))]
)


def name_number(name: str) -> int:
    """A number of 64 bits for a picture's name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")


def pixel_sum(crop: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(crop).tobytes())


def ticket(name: str, image_id: int, instance: int, matrix: Array, crop: Array) -> Array:
    """(T,) uint8 of one crop (H, W, 3)."""
    one = np.zeros(1, TICKET)
    one[0] = name_number(name), image_id, instance, pixel_sum(crop), matrix
    return one.view(np.uint8)


def read_tickets(rows: Array) -> Array:
    """(B,) of :data:`TICKET` from (B, T) uint8."""
    rows = np.ascontiguousarray(rows, np.uint8)
    return rows.view(TICKET).reshape(len(rows))
