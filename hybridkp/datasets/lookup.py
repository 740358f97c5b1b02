"""Finding and opening the picture that belongs to an annotation.

Pictures are opened late, through ``files.read_image``, and never kept; nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..structures import Array, InputError

#: endings of pictures, most usual first
SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif")


def load_picture(path: str) -> Array:
    """(H, W) or (H, W, 3) uint8 BGR of a file; a function of the module, so that it pickles."""
    from ..files import read_image

    return read_image(path)


def loader(path: Path) -> Callable[[], Array]:
    """The ``Sample.load`` of a file."""
    return partial(load_picture, str(path))


def path_of(load: Callable[[], Array]) -> Path | None:
    """The file behind a ``Sample.load`` made by :func:`loader`, else None."""
    if isinstance(load, partial) and load.func is load_picture:
        return Path(load.args[0])
    return None


def find_folder(file_names: Sequence[str], candidates: Sequence[Path], where: str) -> Path:
    """The first folder that holds the first picture, else the first that holds any of them.

    Raises
    ------
    InputError
        When no candidate holds any: names the folders tried.
    """
    unique = list(dict.fromkeys(candidates))
    for names in (file_names[:1], file_names):
        for folder in unique:
            if any((folder / name).is_file() for name in names):
                return folder
    tried = ", ".join(str(c) for c in unique)
    raise InputError(
        f"{where}: none of its {len(file_names)} pictures (first: {file_names[0]}) is in {tried};"
        " put them there or pass images_dir"
    )
