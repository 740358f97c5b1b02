"""Attacks that were found once, as they are: each must be refused, or be harmless, at once.

``make_attacks`` writes them; those on folders are a sound folder in which one file is replaced.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mutate
import numpy as np
import onnx
import seeds
from onnx import TensorProto, helper

from hybridkp.files import save_model
from hybridkp.files.arrays import dump_arrays, load_arrays
from hybridkp.files.lease import LEASE

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Files = dict[str, bytes]


def make_attacks(folder: Path, sound: dict[str, list[Path]]) -> dict[str, list[tuple[Path, str, bytes]]]:
    """Target -> (sound file, name, bytes in its place)."""
    where = folder / "seeds"
    found: dict[str, list[tuple[Path, str, bytes]]] = {}

    def add(target: str, files: Files, like: Path | None = None) -> None:
        for name, data in files.items():
            found.setdefault(target, []).append((like or where / "any", name, data))

    add("model", models(where))
    add("runtime", runtimes())
    add("onnx", {f"{name}.onnx": data for name, data in graphs().items()})
    add("picture", pictures())
    add("coco", documents(json.loads(sound["coco"][0].read_bytes())))
    add("predictions", records(sound["predictions"][0].read_bytes()))
    add("pts", {"many.pts": b"version: 1\nn_points: 99999999999\n{\n}\n", "digits.pts": _pts("9" * 5000)})
    add("pts", {"infinite.pts": _pts("inf"), "half.pts": _pts("1e300"), "zero.pts": b"\x00" * 5000})
    bench, out = where / "run" / "bench" / "bench.json", json.loads
    for key, value in (
        ("data", "/dev/zero"),
        ("data", ["a"]),
        ("split", {}),
        ("normalizer", [1]),
        ("data", 7),
    ):
        facts = out(bench.read_bytes()) | {key: value}
        add("run", {f"{key}-{value}.json": json.dumps(facts).encode()}, bench)
    for text in ("null", "[]", "7", '{"data": ' + "9" * 5000 + "}", "[" * 100_000, '{"data": "\\ud800"}'):
        add("run", {f"state-{text[:9]}.json": text.encode()}, bench)
    lease = next(path for path in sound["run"] if path.name == LEASE)
    for value in (2**31, 2**70, -1, True, "1"):
        owner = json.loads(lease.read_bytes()) | {"pid": value}
        add("run", {f"pid-{value!s:.9}.json": json.dumps(owner).encode()}, lease)
    trials = where / "run" / "tuned" / "hog+ridge" / "trials.json"
    for key, value in (("params", {"ghost": 1}), ("params", {"alpha": "x"}), ("metric", "ghost")):
        table = json.loads(trials.read_bytes())
        table["trials"][1] |= {key: value, "difference": -9.0, "p": 0.0}
        add("run", {f"{key}-{value}.json": json.dumps(table).encode()}, trials)
    add("run", {"none.json": b'{"trials": []}'}, trials)
    stored = next(path for path in sound["run"] if path.name == "hog+ridge-0.safetensors")
    arrays, about = load_arrays(stored.read_bytes())
    arrays["xy"][1, 0, 1] = 1e30
    add("run", {"far.safetensors": mutate.sealed(dump_arrays(arrays, about))}, stored)
    for path in sound["fits"]:
        if path.suffix == ".json":
            for text in ("null", "[]", "{}", "x", '{"seconds": "x", "peak_bytes": {}}'):
                add("fits", {f"cost-{text[:9]}.json": text.encode()}, path)
        elif path.suffix == ".hkp":
            save_model(seeds.METHODS["hog+ridge"], where / "unfitted.hkp")
            add("fits", {name: _bytes(where, name) for name in ("svc.hkp", "mean.hkp", "unfitted.hkp")}, path)
        elif path.name == seeds.CHECKPOINT:
            add("fits", checkpoints(path.read_bytes()), path)
        else:
            add("fits", folds(path.read_bytes()), path)
    return found


def _bytes(where: Path, name: str) -> bytes:
    return (where / name).read_bytes()


# --------------------------------------------------------------------------------------------
# model files: tables of scikit-learn that its native code would trust
# --------------------------------------------------------------------------------------------


def models(where: Path) -> Files:
    svc, trees = where / "svc.hkp", where / "trees.hkp"

    def of(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
        def everywhere(manifest: dict[str, Any]) -> None:
            for node in manifest["estimators"]:
                if node["class"] == name and node["state"]:
                    change(node)

        return everywhere

    def array(value: Any) -> dict[str, Any]:
        return {"$": "array", "n": value}

    boosted = {"class": "GradientBoostingClassifier", "params": {}, "state": {"estimators_": [[]]}}
    neighbours = {"class": "KNeighborsClassifier", "params": {}, "state": {"_y": array("evil")}}
    sparse = {"class": "SparseMatrixNode", "params": {}, "state": {}}
    evil = {
        "labels": np.full(9, 2**36, np.int64),
        "far": np.full((3, 99), 2**30, np.int64),
        "wide": np.zeros((2, 1)),
    }

    def table(node: Any) -> Callable[[dict[str, Any]], None]:
        return lambda manifest: manifest["estimators"].append(node)

    def put(key: str, value: str) -> Callable[[dict[str, Any]], None]:
        return lambda node: node["state"].update({key: array(value)})

    def children(node: dict[str, Any]) -> None:
        node["state"]["nodes"]["v"]["left_child"] = array("far")

    out = {
        "boosting.hkp": _model(svc, table(boosted), evil),
        "neighbours.hkp": _model(svc, table(neighbours), evil),
        "sparse.hkp": _model(svc, table(sparse), evil),
        **{
            f"svc-{key}.hkp": _model(svc, of("SVC", put(key, value)), evil)
            for key, value in (("n_support", "labels"), ("support", "labels"), ("support_vectors", "wide"))
        },
        "children.hkp": _model(trees, of("DecisionTreeClassifier", children), evil),
        "system.hkp": _model(svc, lambda m: m["root"].update({"class": "os:system"}), evil),
        "packed.hkp": _model(svc, lambda m: None, {"bomb": np.zeros(2**24)}, zipfile.ZIP_DEFLATED),
        "meta.hkp": _model(svc, lambda m: m.update(meta={"$": "dataclass"}), {}),
        "deep.hkp": _zip({"manifest.json": b'{"format":1,"root":' + b"[" * 100_000}),
        "empty.hkp": b"PK\x05\x06" + bytes(18),
    }
    return out


def _model(
    path: Path,
    change: Callable[[dict[str, Any]], Any],
    more: dict[str, np.ndarray],
    packing: int = zipfile.ZIP_STORED,
) -> bytes:
    """A sound model file with its manifest changed and arrays of an attacker added."""
    with zipfile.ZipFile(path) as file:
        manifest, arrays = (
            json.loads(file.read("manifest.json")),
            load_arrays(file.read("arrays.safetensors"))[0],
        )
    change(manifest)
    parts = {"arrays.safetensors": dump_arrays(arrays | more), "manifest.json": json.dumps(manifest).encode()}
    return _zip(parts, packing)


def _zip(parts: Files, packing: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return out.getvalue()


# --------------------------------------------------------------------------------------------
# runtime files and graphs: other files, no end, gigabytes
# --------------------------------------------------------------------------------------------


def _graph(nodes: list[Any], constants: dict[str, Any], external: str = "") -> bytes:
    """A graph from ``image`` to ``xy`` and ``score``; ``secret`` lies in another file."""
    made = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    if external:
        tensor = TensorProto(name="secret", data_type=TensorProto.UINT8, dims=[16])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", "16")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        made.append(tensor)
    outs = [helper.make_tensor_value_info(n, FLOAT, None) for n in ("xy", "score")]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", FLOAT, [1, 1, 64, 64])], outs, made
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    found.ir_version = 8
    return found.SerializeToString()


def graphs() -> Files:
    node, shape = helper.make_node, np.array([1, 2, 2])
    score = node("Identity", ["zero"], ["score"])
    zero = {"zero": np.zeros((1, 2), np.float32), "shape": shape}
    ends = [helper.make_tensor_value_info(n, k, s) for n, k, s in (("d", BOOL, []), ("t", FLOAT, None))]
    starts = [(n, k, s) for n, k, s in (("i", INT64, []), ("c", BOOL, []), ("s", FLOAT, None))]
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Identity", ["s"], ["t"])],
        "body",
        [helper.make_tensor_value_info(*each) for each in starts],
        ends,
    )
    loop = [node("Loop", ["n", "yes", "first"], ["xy"], body=body), score]
    trips = {"n": np.array(2**62), "yes": np.array(True), "first": np.zeros((1, 2, 2), np.float32)}
    big = [node("ConstantOfShape", ["n"], ["c"]), node("ReduceSum", ["c"], ["r"], keepdims=0)]
    big += [node("Add", ["first", "r"], ["xy"]), score]
    read = [node("Cast", ["secret"], ["w"], to=FLOAT), node("Reshape", ["w", "shape"], ["xy"]), score]
    out = {
        "loop": _graph(loop, zero | trips),
        "constant": _graph(big, zero | {"n": np.array([1_500_000_000]), "first": trips["first"]}),
    }
    wide = [node("Expand", ["image", "n"], ["w"]), node("Reshape", ["w", "shape"], ["xy"]), score]
    out["expand"] = _graph(wide, zero | {"n": np.array([100_000, 100, 64, 64])})
    for name, place in (("beside", "secret.txt"), ("above", "../../secret.txt"), ("absolute", "/etc/passwd")):
        out[f"external-{name}"] = _graph(read, zero | {"shape": np.array([1, 8, 2])}, place)
    return out


def runtimes() -> Files:
    two = {"landmarks": ["a", "b"], "margin": 1.25}
    out = {
        f"{name}.hkr": _runtime(
            {"kind": "deep.net", "channels": 1, "graph": {"$graph": "g.onnx"}}, two, {}, data
        )
        for name, data in graphs().items()
    }
    hog = {"cells": 1, "cell_px": 1, "n_orientations": 2, "signed": False}
    arrays = {"xy": np.full((2, 2), 100, np.float32), "s": np.ones(2, np.float32)}
    arrays |= {"w": np.zeros((4, 4), np.float32), "o": np.zeros(4, np.float32)}
    arrays["curve"] = np.array([0, 0, 1, 0], np.float32)
    constant = {"kind": "landmarks.constant", "xy": _array("xy"), "score": _array("s")}
    cascade = {"kind": "landmarks.cascade", "start": constant, "hog": hog, "mean": _array("xy")}
    cascade |= {"scales": [8.0], "weights": [_array("w")], "offsets": [_array("o")], "curve": _array("curve")}
    out["large.hkr"] = _runtime(cascade, two, arrays, size_hw=(4096, 4096))
    none = {"xy": np.zeros((0, 2), np.float32), "s": np.zeros(0, np.float32)}
    out["nothing.hkr"] = _runtime(constant, {"margin": 1.25}, none)
    return out


def _array(name: str) -> dict[str, Any]:
    return {"$array": name, "columns": False}


def _runtime(
    root: dict[str, Any],
    meta: dict[str, Any],
    arrays: dict[str, np.ndarray],
    graph: bytes = b"",
    size_hw: tuple[int, int] = (64, 64),
) -> bytes:
    manifest = {"runtime": 1, "hybridkp": "0", "size_hw": list(size_hw), "meta": meta, "root": root}
    parts = {"manifest.json": json.dumps(manifest).encode()}
    parts["arrays.safetensors"] = dump_arrays(arrays or {"z": np.zeros(1, np.float32)})
    return _zip(parts | ({"g.onnx": graph} if graph else {}))


# --------------------------------------------------------------------------------------------
# pictures: headers that claim gigabytes
# --------------------------------------------------------------------------------------------


def pictures() -> Files:
    side = 32_000
    out = {
        "bomb.png": _png(2**31 - 1, 2**31 - 1),
        "wide.png": _png(100_000, 100_000),
        "deep.png": _png(14_000, 14_000, 16, 6),
        "big.tiff": _tiff(side, 43),
        "signed.tiff": _tiff(side, 42, 9),
        "classic.tiff": _tiff(side, 42),
        "claim.pgm": b"P5\n32000 32000\n255\n",
        "claim.ppm": b"P6\n32000 32000\n65535\n",
        "claim.pfm": b"PF\n32000 32000\n-1.0\n",
        "claim.pam": b"P7\nWIDTH 32000\nHEIGHT 32000\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
        "claim.ras": struct.pack(">8I", 0x59A66A95, side, side, 24, side * side * 3 & 0xFFFFFFFF, 1, 0, 0),
        "rows.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 32000 +X 32000\n" + b"\2\2\x7d\0\xff\0" * 999,
        "claim.gif": b"GIF89a" + struct.pack("<HH", 32767, 32767) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
        + b"," + struct.pack("<HHHH", 0, 0, 32767, 32767) + b"\0\x02\x02\x44\x01\0;",
    }  # fmt: skip
    done, small = cv2.imencode(".jp2", np.zeros((64, 64), np.uint8))
    if done:
        data = bytearray(small.tobytes())
        at, box = data.find(b"\xff\x4f\xff\x51") + 8, data.find(b"ihdr") + 4
        data[at : at + 8] = data[at + 16 : at + 24] = data[box : box + 8] = struct.pack(">II", side, side)
        out["claim.jp2"] = bytes(data)
    return out


def _png(width: int, height: int, bits: int = 8, kind: int = 2) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _tiff(side: int, version: int, kind: int = 4) -> bytes:
    """One deflated strip of zeros; 43 is BigTIFF, kind 9 a signed number."""
    packer, row = zlib.compressobj(9), bytes(side)
    data = b"".join(packer.compress(row) for _ in range(300)) + packer.flush()
    big = version == 43
    entry, first, count = ("<HHQQ", 16, "<Q") if big else ("<HHII", 8, "<H")
    tags = [(256, kind, side), (257, kind, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, None)]
    tags += [(277, 3, 1), (278, 4, side), (279, 4, len(data))]
    start = first + struct.calcsize(count) + len(tags) * struct.calcsize(entry) + (8 if big else 4)
    rows = [struct.pack(entry, tag, k, 1, start if value is None else value) for tag, k, value in tags]
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    return head + struct.pack(count, len(tags)) + b"".join(rows) + bytes(8 if big else 4) + data


# --------------------------------------------------------------------------------------------
# annotations, predictions, remembered folds: values that nobody expects
# --------------------------------------------------------------------------------------------


def documents(sound: dict[str, Any]) -> Files:
    def changed(table: str, **values: Any) -> bytes:
        rows = [sound[table][0] | values, *sound[table][1:]]
        return json.dumps(sound | {table: rows}).encode("utf-8", "surrogatepass")

    names = ["/dev/zero", "/dev/stdin", "../../../etc/passwd", "x" * 300, "\ud800.png", "a\x00b.png", "."]
    names += ["C:\\a\\b.png", "\\\\host\\share\\a.png", "", "%2e%2e%2fsecret.png"]
    out = {f"name-{i}.json": changed("images", file_name=name) for i, name in enumerate(names)}
    boxes = [[1e300, 1e300, 1e300, 1e300], [0, 0, 1e308, 1e308], ["a"] * 4, [[1]], {"x": 1}, [1, 2, 3]]
    out |= {f"box-{i}.json": changed("annotations", bbox=box) for i, box in enumerate(boxes)}
    points = [[1e300, -1e300, 2] * 3, [None] * 9, ["1"] * 9, [[1, 2, 2]] * 3, {"a": 1}, [True] * 9]
    out |= {f"points-{i}.json": changed("annotations", keypoints=p) for i, p in enumerate(points)}
    sizes: list[Any] = [1e300, -1, "x", [1], 2**63, None]
    out |= {f"size-{i}.json": changed("images", width=size) for i, size in enumerate(sizes)}
    out |= {f"area-{i}.json": changed("annotations", area=size) for i, size in enumerate(sizes)}
    out["digits.json"] = changed("images", id=1).replace(b'"id": 1', b'"id": ' + b"9" * 5000, 1)
    out["nested.json"] = b"[" * 100_000
    out["surrogate.json"] = changed("images", file_name="\\ud800")
    return out


def records(sound: bytes) -> Files:
    """Stored predictions with other types than ours."""
    (size,) = struct.unpack("<Q", sound[:8])
    header, rest = json.loads(sound[8 : 8 + size]), sound[8 + size :]
    out = {}
    values = [("params", [1]), ("seed", "x"), ("names", 7), ("versions", None), ("fit_seconds", {})]
    for key, value in [*values, ("peak_bytes", 2**70)]:
        inner = json.loads(header["__metadata__"]["predictions"]) | {key: value}
        about = header["__metadata__"] | {"predictions": json.dumps(inner)}
        text = json.dumps(header | {"__metadata__": about}).encode()
        out[f"{key}.safetensors"] = mutate.sealed(struct.pack("<Q", len(text)) + text + rest)
    out["huge.safetensors"] = struct.pack("<Q", 2**62) + sound[8:]
    return out


def folds(sound: bytes) -> Files:
    """Remembered predictions that are others', or ask for more than they hold."""
    arrays, about = load_arrays(sound)
    xy, score = arrays["xy"], arrays["score"]
    out = {
        "other": {"xy": xy[:1], "score": score},
        "half": {"xy": xy},
        "whole": {"xy": xy.astype(np.int32), "score": score},
    }
    files = {f"{name}.safetensors": mutate.sealed(dump_arrays(its, about)) for name, its in out.items()}
    claim = sound.replace(b'"shape":[6,5,2]', b'"shape":[6,5,9]', 1)
    return files | {"claim.safetensors": claim, "pickle.safetensors": pickle.dumps(print)}


def checkpoints(sound: bytes) -> Files:
    """A training's, of the right run, with another history or other weights."""
    arrays, about = load_arrays(sound)
    inner = json.loads(about["checkpoint"])
    histories = [dict.fromkeys(inner["history"], 7), {k: ["x"] for k in inner["history"]}, {}, None]
    told = [about | {"checkpoint": json.dumps(inner | {"history": history})} for history in histories]
    told.append(about | {"checkpoint": json.dumps(inner | {"seconds": "x"})})
    out = {f"told-{i}.safetensors": mutate.sealed(dump_arrays(arrays, each)) for i, each in enumerate(told)}
    first = next(name for name in arrays if name.startswith("now.") and arrays[name].ndim > 1)
    moment = next(name for name in arrays if name.startswith("optimiser.") and arrays[name].ndim)
    for i, name in enumerate((first, moment)):
        cut = {key: value[:1] if key == name else value for key, value in arrays.items()}
        lost = {key: value for key, value in arrays.items() if key != name}
        out[f"cut-{i}.safetensors"] = mutate.sealed(dump_arrays(cut, about))
        out[f"lost-{i}.safetensors"] = mutate.sealed(dump_arrays(lost, about))
    return out


def _pts(number: str) -> bytes:
    return f"version: 1\nn_points: 3\n{{\n{number} 8\n20 8\n14.25 16\n}}\n".encode()
