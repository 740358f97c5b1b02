"""Damage with structure: values inside a container are changed, and the container is closed again.

Most random bytes die at the first check.  Here a zip stays a zip, JSON stays JSON and protobuf stays
protobuf, so that what lies behind the header is reached.  Everything is drawn from one ``random.Random``.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.etree.ElementTree import fromstring

import numpy as np

from hybridkp.files.arrays import dump_arrays, load_arrays

NASTY: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    -(2**63),
    10**40,
    1e300,
    -1e300,
    1e-320,
    float("nan"),
    float("inf"),
    "",
    "x" * 300,
    "\ud800",
    "../../etc/passwd",
    "/dev/zero",
    "C:\\evil\\a.png",
    "a%20b",
    "\x00",
    [],
    {},
    [[]],
    [None],
    {"$": "estimator"},
    {"$array": "a0", "columns": True},
]
Mutate = Callable[[bytes, Random], bytes]


def raw(data: bytes, rng: Random) -> bytes:
    """Bytes changed, cut, doubled, or the end lost; most often near the front."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        reach = len(out) if rng.random() < 0.4 else min(len(out), 256)
        at = rng.randrange(max(reach, 1))
        kind = rng.randrange(5)
        if kind == 0 and out:
            out[min(at, len(out) - 1)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 1:
            del out[at : at + rng.randint(1, 64)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randint(1, 64)]
        elif kind == 3 and rng.random() < 0.2:
            del out[at:]
        else:
            out[at : at + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 2**31, 2**32 - 1, 65535))
            )
    return bytes(out)


def tree(value: Any, rng: Random) -> Any:
    """A JSON value with one or two places changed."""
    for _ in range(rng.randint(1, 2)):
        places = _places(value)
        if not places:  # a bare number, or all was lost
            return rng.choice(NASTY)
        holder, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            holder.pop(key)
        elif kind == 1:
            other, its = rng.choice(places)
            try:
                holder[key] = copy.deepcopy(other[its])
            except (KeyError, IndexError):
                holder[key] = None
        elif kind == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 1000, holder[key] + 0.5))
        elif kind == 3 and rng.random() < 0.1:
            deep: Any = holder[key]
            for _ in range(rng.choice((50, 200, 300))):
                deep = [deep]
            holder[key] = deep
        else:
            holder[key] = copy.deepcopy(rng.choice(NASTY))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left and len(found) < 5000:
        holder = left.pop()
        keys = (
            list(holder)
            if isinstance(holder, dict)
            else range(len(holder))
            if isinstance(holder, list)
            else ()
        )
        for key in keys:
            found.append((holder, key))
            left.append(holder[key])
    return found


def json_text(data: bytes, rng: Random) -> bytes:
    """JSON with places changed; now and then numbers of thousands of digits, or raw damage."""
    if rng.random() < 0.1:
        return raw(data, rng)
    text = json.dumps(tree(json.loads(data), rng))
    if rng.random() < 0.05:
        text = text.replace("1", "1" * rng.choice((500, 5000)), 1)
    return text.encode("utf-8", "surrogatepass")


def safetensors(data: bytes, rng: Random) -> bytes:
    """The header's JSON changed and its length set right, or values of the tensors; sealed again, mostly."""
    out = raw(data, rng) if rng.random() < 0.1 else _tensors(data, rng)
    return sealed(out) if rng.random() < 0.9 else out


def sealed(data: bytes) -> bytes:
    """With the digest that the library writes, where it writes one: an attacker can compute it too."""
    try:
        arrays, about = load_arrays(data)
        if about.pop("sha256", None) is None:
            return data
        about["sha256"] = hashlib.sha256(dump_arrays(arrays, about)).hexdigest()
        return dump_arrays(arrays, about)
    except Exception:  # whatever damage can cause
        return data


def _tensors(data: bytes, rng: Random) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    if rng.random() < 0.4 and len(data) > 8 + size:
        return values(data, rng, 8 + size)
    header = json.loads(data[8 : 8 + size])
    about = header.get("__metadata__", {})
    inner = [key for key, text in about.items() if text[:1] in ("{", "[")]
    if inner and rng.random() < 0.6:  # what we keep in the metadata is JSON again
        key = rng.choice(inner)
        about[key] = json.dumps(tree(json.loads(about[key]), rng))
    else:
        header = tree(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def values(data: bytes, rng: Random, start: int = 0) -> bytes:
    """A few numbers behind ``start`` changed, in place."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        packed = rng.choice((np.float32, np.float64, np.int32, np.int64))
        number = packed(rng.choice((0, -1, 1, 2**30, -(2**31) + 1)))
        if rng.random() < 0.4 and packed in (np.float32, np.float64):
            number = packed(rng.choice((np.nan, np.inf, -np.inf, 1e30, 1e-30)))
        piece = number.tobytes()
        at = rng.randrange(start, max(start + 1, len(out) - len(piece) + 1))
        at -= (at - start) % len(piece)
        out[at : at + len(piece)] = piece
    return bytes(out)


def picture(data: bytes, rng: Random) -> bytes:
    """Bytes changed, half of the time behind the first hundred; what is long stays whole."""
    if rng.random() < 0.4:
        return raw(data, rng)
    return values(data, rng, min(100 if rng.random() < 0.7 else 16, len(data) // 2))


def zipped(data: bytes, rng: Random) -> bytes:
    """One member changed after its kind, and the zip written anew with right checksums."""
    if rng.random() < 0.1:
        return raw(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {info.filename: file.read(info) for info in file.infolist()}
    name = rng.choice(list(members))
    if rng.random() < 0.03:
        members[rng.choice(("../evil", "/etc/evil", "manifest.json/", "x"))] = members[name]
    elif rng.random() < 0.03:
        del members[name]
    else:
        members[name] = of_name(name)(members[name], rng)
    out = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if rng.random() < 0.03 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", packing) as file:
        for key, content in members.items():
            file.writestr(key, content)
    return out.getvalue()


def protobuf(data: bytes, rng: Random) -> bytes:
    """One field of a nested message changed, with all lengths set right."""
    if rng.random() < 0.15:
        return raw(data, rng)
    return _message(data, rng, 0)


def _message(data: bytes, rng: Random, depth: int) -> bytes:
    fields = _split(data)
    if not fields or depth > 6:
        return raw(data, rng) if len(data) < 10_000 else data
    at = rng.randrange(len(fields))
    key, value = fields[at]
    if isinstance(value, bytes) and rng.random() < 0.75:
        value = _message(value, rng, depth + 1) if _split(value) else raw(value[:4000], rng)
    elif isinstance(value, int):
        value = rng.choice((0, 1, 2**31, 2**62, 2**64 - 1, value + 1))
    if rng.random() < 0.1:
        fields.insert(at, fields[rng.randrange(len(fields))])
    elif rng.random() < 0.1:
        fields.pop(at)
    else:
        fields[at] = (key, value)
    return b"".join(_join(k, v) for k, v in fields)


def _split(data: bytes) -> list[tuple[int, Any]]:
    """(key, int or bytes) of a message; empty where it is none."""
    out: list[tuple[int, Any]] = []
    at = 0
    try:
        while at < len(data):
            key, at = _number(data, at)
            kind = key & 7
            if kind == 0:
                value: Any
                value, at = _number(data, at)
            elif kind == 2:
                size, at = _number(data, at)
                value, at = data[at : at + size], at + size
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at : at + size], at + size
            else:
                return []
            if at > len(data) or key >> 3 == 0:
                return []
            out.append((key, value))
    except IndexError:
        return []
    return out


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _join(key: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _packed(key) + _packed(value)
    return _packed(key) + (_packed(len(value)) if key & 7 == 2 else b"") + value


def lines(data: bytes, rng: Random) -> bytes:
    """A text file with lines lost, doubled, exchanged, or a word changed."""
    if rng.random() < 0.15:
        return raw(data, rng)
    rows = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(rows))
        kind = rng.randrange(4)
        if kind == 0:
            rows.pop(at)
            rows = rows or [""]
        elif kind == 1:
            rows.insert(at, rows[rng.randrange(len(rows))])
        else:
            words = re.split(r"([ ,;:=\"<>]+)", rows[at])
            words[rng.randrange(len(words))] = str(rng.choice(NASTY))
            rows[at] = "".join(words)
    return "\n".join(rows).encode("utf-8", "surrogatepass")


def npy(data: bytes, rng: Random) -> bytes:
    """The header of a NumPy array changed, with its length set right."""
    if rng.random() < 0.3 or data[:6] != b"\x93NUMPY":
        return raw(data, rng)
    (size,) = struct.unpack("<H", data[8:10])
    text = data[10 : 10 + size].decode("latin-1").strip()
    wrong = rng.choice(("9" * 10, "-1", "2**40", "()", "'|O'", "'<U9'", "True", "0"))
    found = sorted({*re.findall(r"\d+|'[<|>][a-z]\d'|False", text)})
    text = text.replace(rng.choice(found), wrong, 1).ljust(size - 1) + "\n"
    return data[:8] + struct.pack("<H", len(text)) + text.encode("latin-1") + data[10 + size :]


def of_name(name: str) -> Mutate:
    """How a file of that name is damaged."""
    ends: dict[str, Mutate] = {".json": json_text, ".safetensors": safetensors, ".onnx": protobuf}
    ends |= {".hkp": zipped, ".hkr": zipped, ".npy": npy, ".pts": lines}
    ends |= dict.fromkeys((".txt", ".csv", ".tps", ".yaml", ".xml"), lines)
    ends |= dict.fromkeys((".png", ".jpg", ".bmp", ".tiff", ".webp", ".pgm", ".ppm", ".jp2", ".gif"), picture)
    return next((how for end, how in ends.items() if name.endswith(end)), raw)


def opens(path: Path) -> bool:
    """Whether a container is whole: what is damaged then lies behind its header."""
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            return bool(json.loads(data)) and data[:1] == b"{"
        if path.suffix == ".safetensors":
            (size,) = struct.unpack("<Q", data[:8])
            return bool(json.loads(data[8 : 8 + size])["__metadata__"])
        if path.suffix == ".hkp":
            with zipfile.ZipFile(path) as file:
                return file.testzip() is None
        if path.suffix == ".xml":
            return fromstring(data) is not None
        if path.suffix == ".npy":
            return data[:6] == b"\x93NUMPY"
        return bool(data.decode().strip())
    except Exception:  # whatever damage can cause
        return False
