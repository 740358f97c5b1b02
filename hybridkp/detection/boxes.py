"""The finder that need not look: boxes that somebody gives, picture by picture.

No learning here.  Boxes are (N, 4): x, y of the top-left corner, width and height in px.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..datasets.coco_objects import size_hw_of
from ..datasets.linter.pixels import check_size
from ..datasets.lookup import plain_name
from ..structures import Array, DataWarning, InputError, Sample


class BoxesGiven:
    """A finder that looks boxes up by the picture's name, or takes the whole picture as the box.

    Parameters
    ----------
    boxes : picture's name -> (N, 4) boxes; None: the whole picture is the one box.  A name stands for
        the picture whose path ends with it; a picture that is not in it is left out with a
        :class:`~hybridkp.structures.DataWarning`.
    sizes_hw : picture's name -> (height, width) that its boxes are of; a picture of another size is refused

    Examples
    --------
    >>> import numpy as np
    >>> BoxesGiven().find(np.zeros((20, 30), np.uint8))
    (array([[ 0.,  0., 30., 20.]]), array([1.]))
    >>> BoxesGiven({"a/1.png": [[2, 3, 10, 10]]}).find(np.zeros((20, 30), np.uint8), name="/data/a/1.png")[0]
    array([[ 2.,  3., 10., 10.]])
    """

    def __init__(
        self, boxes: Mapping[str, Any] | None = None, sizes_hw: Mapping[str, tuple[int, int]] | None = None
    ) -> None:
        self.boxes = boxes
        self.sizes_hw = sizes_hw

    @classmethod
    def read(cls, path: str | os.PathLike[str], category: str | None = None) -> BoxesGiven:
        """Boxes of a COCO JSON file; also by names without folders, where these name one picture only.

        Names may be written as another machine does: see :func:`~hybridkp.datasets.lookup.plain_name`.  Of
        boxes of several categories those called ``category`` are meant; None: all.
        """
        try:
            document = json.loads(Path(path).read_bytes())
            names = {image["id"]: str(image["file_name"]) for image in document["images"]}
            sizes = {str(image["file_name"]): size_hw_of(image) for image in document["images"]}
            table: dict[str, list[Any]] = {name: [] for name in names.values()}
            kinds = _kinds(document, category, path)
            for annotation in document["annotations"]:
                if kinds is not None and str(annotation.get("category_id")) not in kinds:
                    continue
                box = [float(v) for v in annotation["bbox"]]
                if len(box) != 4:
                    raise ValueError("bbox")
                table[names[annotation["image_id"]]].append(box)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise InputError(
                f"{path}: needs COCO JSON with images (id, file_name) and annotations (bbox)"
            ) from None
        plain = {name: PurePosixPath(plain_name(name)) for name in table}
        count = Counter(path.name for path in plain.values())

        def by_name(rows: Mapping[str, Any]) -> dict[str, Any]:
            short = {plain[name].name: row for name, row in rows.items() if count[plain[name].name] == 1}
            return {**short, **{str(plain[name]): row for name, row in rows.items()}, **rows}

        return cls(by_name(table), by_name(sizes))

    def fit(self, samples: Iterable[Sample]) -> BoxesGiven:
        """Nothing to learn."""
        return self

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) of the picture of that name, and scores (N,) of 1."""
        if self.boxes is None:
            return np.array([[0.0, 0.0, image.shape[1], image.shape[0]]]), np.ones(1)
        found, said = self.given(name), _of(name, self.sizes_hw or {})
        check_size(name, said, image.shape[:2], "give boxes that are of these pictures")
        if found is None:
            warnings.warn(f"{name}: has no box, left out", DataWarning, stacklevel=2)
            return np.zeros((0, 4)), np.zeros(0)
        return found, np.ones(len(found))

    def given(self, name: str) -> Array | None:
        """The boxes (N, 4) of the picture of that name; None where it has none."""
        found = _of(name, self.boxes or {})
        return None if found is None else np.reshape(np.asarray(found, float), (-1, 4))


def _kinds(document: Any, category: str | None, path: str | os.PathLike[str]) -> set[str] | None:
    """Ids of the category that is meant, as text; None where all boxes are."""
    used = {str(annotation.get("category_id")) for annotation in document["annotations"]}
    names = {str(c["id"]): str(c.get("name")) for c in document.get("categories") or [] if "id" in c}
    if category is None or (len(used) < 2 and category not in names.values()):
        return None
    kinds = {kind for kind in used if names.get(kind) == category}
    if not kinds and used:
        there = ", ".join(f"{names.get(kind, f'id {kind}')!r:.40}" for kind in sorted(used)[:6])
        raise InputError(
            f"{path}: has boxes of other categories ({there}), and the model is of {category!r}: keep those"
            f" of one category in the file, or call them {category!r}"
        )
    return kinds


def _of(name: str, rows: Mapping[str, Any]) -> Any:
    """The row of the picture of that name, by the longest end of its path that is there; else None."""
    path = Path(name)
    ends = ["/".join(path.parts[i:]) for i in range(len(path.parts))]
    return next((rows[key] for key in (name, path.as_posix(), *ends) if key in rows), None)
