"""Named arrays in the safetensors layout: as the library reads and writes them, and hostile bytes."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from hybridkp.files.arrays import dump_arrays, load_arrays

TYPES = ("?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8")
ARRAYS = {
    **{f"a{i}": (np.arange(6).reshape(2, 3) - 1).astype(code) for i, code in enumerate(TYPES)},
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(3.5),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "other end": np.arange(3).astype(">i4"),
}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=") and found[name].shape == array.shape


def test_the_library_reads_what_we_write_and_we_what_it_writes() -> None:
    same(load(dump_arrays(ARRAYS, {"format": "1"})), ARRAYS)
    native = {n: np.ascontiguousarray(a, a.dtype.newbyteorder("=")) for n, a in ARRAYS.items()}
    found, metadata = load_arrays(save(native, metadata={"kind": "x"}))
    same(found, native)
    assert metadata == {"kind": "x"} and load_arrays(save(native))[1] == {}
    assert all(a.flags.writeable and a.flags.aligned for a in found.values())


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        load_arrays(data)


def packed(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(**changes: object) -> dict[str, object]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    "data",
    [
        packed([]),
        packed(None),
        packed({}, b"rest"),
        packed({"x": 1}),
        packed({"__metadata__": 3}),
        packed(entry(), bytes(4)),
        packed(entry(), bytes(16)),
        packed(entry(shape=[10**15]), bytes(8)),
        packed(entry(shape=[-2]), bytes(8)),
        packed(entry(shape=[2, -1]), bytes(8)),
        packed(entry(dtype="F99"), bytes(8)),
        packed(entry(dtype=["F32"]), bytes(8)),
        packed(entry(data_offsets=[-8, 0]), bytes(8)),
        packed(entry(data_offsets=[8, 16]), bytes(16)),
        packed(entry(data_offsets=[0]), bytes(8)),
        packed({**entry(), "y": entry()["x"]}, bytes(8)),
        struct.pack("<Q", 2**63) + b"{}",
        b"",
    ],
)
def test_headers_that_lie(data: bytes) -> None:
    with pytest.raises(ValueError):
        load_arrays(data)


def test_every_truncation_is_noticed() -> None:
    whole = dump_arrays(ARRAYS)
    for n in range(len(whole)):
        with pytest.raises(ValueError):
            load_arrays(whole[:n])
