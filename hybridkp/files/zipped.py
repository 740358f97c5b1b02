"""A zip of stored members, each once: what model files and runtime files lie in.

Only regular files are opened, and a member takes no more than its file has.  What the members are is the
business of those who ask.
"""

from __future__ import annotations

import io
import os

from ..structures import InputError


def file_bytes(path: str | os.PathLike[str], what: str, cure: str) -> bytes:
    """The bytes of a regular file; :class:`InputError`, which calls it ``what``, for anything else."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path}: is {'a folder' if os.path.isdir(path) else 'no file'}, not a {what}")
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ValueError):  # ValueError: a name that no file can have
        raise InputError(f"{path!s:.200}: no such {what}; {cure}") from None
    except OSError as error:
        raise InputError(f"{path!s:.200}: cannot be read ({error.strerror}); {cure}") from None


def members(data: bytes) -> dict[str, bytes]:
    """Name -> bytes of every member.

    Raises
    ------
    ValueError
        For a member that is compressed or there twice, and for members that take more than the file has.
    Exception
        Of half a dozen kinds, for what is no zip, or a damaged one.
    """
    import zipfile  # it brings half a dozen modules that an application's import would wait for

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        infos = file.infolist()
        if any(i.compress_type != zipfile.ZIP_STORED or i.compress_size != i.file_size for i in infos):
            raise ValueError("compressed members are not part of the format")
        names = [info.filename for info in infos]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or sum(info.file_size for info in infos) > len(data):
            raise ValueError(f"has members that do not belong there ({str(twice or names[0])[:60]!r})")
        return {name: file.read(name) for name in names}
