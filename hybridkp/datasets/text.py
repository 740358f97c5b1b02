"""Annotation files as text, with each way to fail in one line that names the file.

What the text means is the readers' business; nothing is written here.
"""

from __future__ import annotations

from pathlib import Path

from ..structures import InputError


def read_text(path: Path) -> str:
    """The file's text (UTF-8, with or without a byte order mark); :class:`InputError` if unreadable."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file; name a file of text")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from None
