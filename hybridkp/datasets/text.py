"""Annotation files as text, JSON, XML and tables, with each way to fail in one line that names the file.

What they mean is the readers' business; nothing is written here.  XML may declare nothing: no document
type, hence no entities and no other files.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..structures import InputError

MAX_BYTES = 1 << 30  #: of an annotation file
MAX_DEPTH = 32  #: of elements in each other; annotations need six


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


def read_head(path: Path, n: int = 1 << 14) -> bytes:
    """The first bytes of a regular file, to recognise it by; empty where there are none to be had."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(n)
    except OSError:
        return b""


def start_of(head: bytes) -> bytes:
    """A text's bytes past a byte order mark and blanks: what a JSON begins with."""
    return head.lstrip(b"\xef\xbb\xbf \r\n\t")


def read_any_json(path: Path) -> Any:
    """Whatever the JSON file holds."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({str(error)[:80]}); export it again") from None


def read_xml(path: Path) -> Element:
    """The root element.  A document type is refused, whatever it declares; any encoding that expat knows."""
    if path.is_dir() or not path.exists():
        raise InputError(f"{path}: no such file; give the XML file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES >> 20} MB of XML; export fewer pictures at a time")
    builder, parser, depth = TreeBuilder(), expat.ParserCreate(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise InputError(f"{path}: elements nested more than {MAX_DEPTH} deep; no annotations are")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: Any) -> None:
        raise InputError(f"{path}: has a <!DOCTYPE>; annotations need none: remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid XML ({str(error)[:80]}); export it again") from None


def read_csv(path: Path) -> list[list[str]]:
    """The cells, a list a line, as text."""
    try:
        return list(csv.reader(read_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: not a table with commas ({error})") from None


def number(text: Any, where: str) -> float:
    """A cell or attribute as a float; NaN where it is empty, NA or not there."""
    if text is None or (isinstance(text, str) and text.strip().lower() in ("", "na", "nan", "null")):
        return math.nan
    try:
        return float(text)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {str(text)[:40]!r} is not a number") from None
