"""Sound files of every kind that the library reads, small, and every attack that was found once."""

from __future__ import annotations

import struct
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridkp import checks, runtime
from hybridkp.datasets import FORMATS, write_coco
from hybridkp.evaluate import Problem, bench
from hybridkp.files import save_model
from hybridkp.structures import Dataset, Instance, Sample


def picture(seed: int = 0, h: int = 24, w: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


class Load:
    """A picture that pickles."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self) -> np.ndarray:
        return picture(self.seed)


def dataset(n: int = 4, first: int = 0) -> Dataset:
    samples = []
    for i in range(first, first + n):
        xy = np.array([[8.0, 8], [20, 8], [14, 16]]) + i % 3
        one = Instance(xy, box_xywh=[4, 4, 22, 18], area=396.0)
        samples.append(Sample(f"p{i}.png", Load(i), (one,), f"g{i}", (24, 32), image_id=i + 1))
    return Dataset("tiny", ("a", "b", "c"), tuple(samples), np.array([[0, 1]]), normalizer=("box",))


def make_seeds(folder: Path) -> dict[str, list[Path]]:
    """Target -> sound files."""
    from sklearn.svm import SVC

    from hybridkp.landmarks import HolisticRegressor, MeanShape, PatchDetector

    folder.mkdir(parents=True, exist_ok=True)
    p = checks.make_problem(12)
    found: dict[str, list[Path]] = {"model": [], "runtime": [], "onnx": [], "predictions": []}
    models = {"mean": MeanShape(), "ridge": HolisticRegressor(grid=4), "svc": PatchDetector(classifier=SVC())}
    for name, model in models.items():
        model.fit(p.images, p.xy, groups=p.groups, flip=p.flip)
        found["model"].append(folder / f"{name}.hkp")
        save_model(model, found["model"][-1], {"landmarks": list("abcde")})
        if name != "svc":
            found["runtime"].append(folder / f"{name}.hkr")
            runtime.export_runtime(model, found["runtime"][-1])
    problem = Problem(dataset(), dataset(3, 10), size_hw=(32, 32))
    bench({"mean": MeanShape()}, problem, out=folder / "bench", n_jobs=1)
    found["predictions"] = sorted((folder / "bench" / "predictions").iterdir())
    found |= _pictures(folder / "pictures")
    found["onnx"] = [Path(checks.__file__).parents[1] / "points" / "weights" / "net.onnx"]
    found["coco"] = [write_coco(dataset(), folder / "train.json")]  # type: ignore[list-item]
    found["coco"] = [folder / "train.json", *_other_tools(folder)]
    (folder / "a.pts").write_text("version: 1\nn_points: 3\n{\n8.5 8\n20 8\n14.25 16\n}\n")
    cv2.imwrite(str(folder / "a.png"), picture())
    for i in range(4):
        cv2.imwrite(str(folder / f"p{i}.png"), picture(i))
    return found | {"pts": [folder / "a.pts"]}


def _other_tools(folder: Path) -> list[Path]:
    """The same small set as every other tool would have it; read as data sets are."""
    found = []
    for row in FORMATS:
        if row.write is None or row.name == "coco" or (row.name == "sleap" and not find_spec("h5py")):
            continue
        before = set(folder.iterdir())
        row.write(dataset(1), folder, None)
        kinds = (".json", ".xml", ".csv", ".tps", ".slp", ".yaml")
        found += sorted(
            p for p in set(folder.iterdir()) - before if p.suffix in kinds and "config" not in p.name
        )
    return found


def _pictures(folder: Path) -> dict[str, list[Path]]:
    folder.mkdir(exist_ok=True)
    made = []
    options: list[tuple[str, Any]] = [(".png", picture()), (".jpg", picture()), (".bmp", picture())]
    options += [(".tiff", picture()), (".webp", picture()), (".pgm", picture()[..., 0]), (".ppm", picture())]
    options += [(".jp2", picture(0, 64, 64)), (".png", picture().astype(np.uint16) * 16)]
    for i, (end, image) in enumerate(options):
        path = folder / f"{i}{end}"
        if cv2.imwrite(str(path), image):
            made.append(path)
    return {"picture": made}


def attacks(folder: Path) -> dict[str, list[Path]]:
    """Known attacks as they are: each must be refused (or harmless) at once."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, tuple[str, bytes]] = {
        "bomb.gif": (
            "picture",
            b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"\x3b",
        ),
        "bomb.png": ("picture", _png(2**31 - 1, 2**31 - 1)),
        "wide.png": ("picture", _png(100_000, 100_000)),
        "digits.json": ("coco", b'{"images": [{"id": ' + b"9" * 5000 + b', "file_name": "a.png"}]}'),
        "surrogate.json": (
            "coco",
            b'{"images":[{"id":1,"file_name":"\\ud800.png","width":9,"height":9}],"annotations":[],"categories":[]}',
        ),
        "deep.json": ("coco", b"[" * 100_000),
        "zero.pts": ("pts", b"version: 1\nn_points: 99999999999\n{\n}\n"),
    }
    out: dict[str, list[Path]] = {}
    for name, (target, data) in files.items():
        (folder / name).write_bytes(data)
        out.setdefault(target, []).append(folder / name)
    return out


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
