"""A COLMAP database of pictures, their points and their verified matches, by sqlite3 alone.

COLMAP counts from a picture's outer corner, so 0.5 px are added here and nowhere else.  The focal length is
unknown and stands as 1.2 times the longer side, which COLMAP refines.  Never here: what finds and matches.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from ..structures import Array, InputError
from .atomic import atomic_path

_SIMPLE_RADIAL, _UNCALIBRATED = 2, 3  #: COLMAP's numbers
_MOST = 2147483647  #: COLMAP's factor between the two ids of a pair
_BACK = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  #: from COLMAP's px to ours
_FOCAL = 1.2  #: of the longer side, as COLMAP takes it where nothing is known

_TABLES = f"""
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
    camera_id INTEGER NOT NULL, prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL, prior_tx REAL,
    prior_ty REAL, prior_tz REAL, CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < {_MOST}),
    FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
    cols INTEGER NOT NULL, data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
"""


def write_database(
    path: str | os.PathLike[str],
    pictures: Sequence[tuple[str, tuple[int, int], Array]],
    pairs: Iterable[tuple[str, str, Array, Array, Array]],
) -> None:
    """A database, written whole or not at all.

    Parameters
    ----------
    pictures : name, (h, w) and points (N, 2) px of each, an integer at a pixel's centre
    pairs : names a and b; matches (M, 2) int, rows of the points of a and of b; (M,) bool, the inliers; and
        the fundamental matrix (3, 3) from a to b, NaN = none
    """
    with atomic_path(Path(path)) as temporary:
        try:
            with closing(sqlite3.connect(temporary)) as base:
                base.executescript(_TABLES)
                ids = {name: n for n, (name, _, _) in enumerate(pictures, 1)}
                for name, size_hw, xy in pictures:
                    _add_picture(base, ids[name], name, size_hw, xy)
                for a, b, matches, inlier, matrix in pairs:
                    _add_pair(base, ids[a], ids[b], matches, inlier, matrix)
                base.commit()
        except sqlite3.Error as error:
            raise InputError(f"{path}: cannot be written as a database ({error})") from None


def _add_picture(
    base: sqlite3.Connection, number: int, name: str, size_hw: tuple[int, int], xy: Array
) -> None:
    h, w = size_hw
    params = np.array([_FOCAL * max(h, w), w / 2, h / 2, 0.0]).tobytes()
    base.execute("INSERT INTO cameras VALUES (?, ?, ?, ?, ?, 0)", (number, _SIMPLE_RADIAL, w, h, params))
    base.execute("INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, ?)", (number, name, number))
    data = np.ascontiguousarray(np.asarray(xy, np.float32) + np.float32(0.5))
    base.execute("INSERT INTO keypoints VALUES (?, ?, 2, ?)", (number, len(data), data.tobytes()))


def _add_pair(base: sqlite3.Connection, a: int, b: int, matches: Array, inlier: Array, matrix: Array) -> None:
    if a > b:  # COLMAP orders a pair by its ids
        a, b, matches, matrix = b, a, matches[:, ::-1], matrix.T
    pair, rows = _MOST * a + b, np.ascontiguousarray(matches, np.uint32)
    base.execute("INSERT OR REPLACE INTO matches VALUES (?, ?, 2, ?)", (pair, len(rows), rows.tobytes()))
    kept = np.ascontiguousarray(rows[np.asarray(inlier, bool)])
    if len(kept) and np.isfinite(matrix).all():
        told = np.ascontiguousarray(_BACK.T @ matrix @ _BACK, np.float64).tobytes()
        none = np.zeros(9).tobytes()
        pose = np.array([1.0, 0, 0, 0]).tobytes(), np.zeros(3).tobytes()
        values = (pair, len(kept), kept.tobytes(), _UNCALIBRATED, told, none, none, *pose)
        sql = "INSERT OR REPLACE INTO two_view_geometries VALUES (?, ?, 2, ?, ?, ?, ?, ?, ?, ?)"
        base.execute(sql, values)
