"""Sound files and folders of every kind that the library reads, small, and every attack that was found once.

Everything is made anew by the library itself, into one folder; ``attacks.py`` has what is made by hand.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridkp import checks, evaluate, memory, recipes, runtime
from hybridkp.datasets import FORMATS, load_pairs, write_coco
from hybridkp.evaluate import Problem, load_problem
from hybridkp.files import save_model
from hybridkp.files.lease import LEASE, machine
from hybridkp.landmarks import HolisticRegressor, MeanShape, PatchDetector
from hybridkp.structures import Dataset, InputError, Instance, Sample

METHODS = {"mean": MeanShape(), "hog+ridge": HolisticRegressor(grid=4)}  #: of the bench's folder
MATCHERS = {"orb": partial(recipes.make_matcher, "orb")}
CHECKPOINT = "network.safetensors"  #: of a training, among the remembered fits


def picture(seed: int = 0, h: int = 24, w: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def dataset(n: int = 4, first: int = 0) -> Dataset:
    samples = []
    for i in range(first, first + n):
        xy = np.array([[8.0, 8], [20, 8], [14, 16]]) + i % 3
        one = Instance(xy, box_xywh=[4, 4, 22, 18], area=396.0)
        samples.append(Sample(f"p{i}.png", partial(picture, i), (one,), f"g{i}", (24, 32), image_id=i + 1))
    return Dataset("tiny", ("a", "b", "c"), tuple(samples), np.array([[0, 1]]), normalizer=("box",))


def problem(folder: Path) -> Problem:
    """That of the bench's folder; ``folder`` is the one that all is made in."""
    return load_problem(str(folder / "seeds" / "data"), size_hw=(32, 32), max_timed=0)


def remembered() -> HolisticRegressor:
    """Whose fits are remembered."""
    return HolisticRegressor(grid=4)


def network(checkpoint: Path | None) -> Any:
    """A network that goes on from a file."""
    from hybridkp.deep import DirectNet, Schedule

    quick = Schedule(max_epochs=1, epoch_pictures=1, checkpoint=checkpoint, device="cpu")
    return DirectNet(input_px=32, color=False, schedule=quick)


def make_seeds(folder: Path) -> dict[str, list[Path]]:
    """Target -> sound files; those of the targets that are folders lie in ``seeds/TARGET/KIND``."""
    where = folder / "seeds"
    where.mkdir(parents=True, exist_ok=True)
    found = _models(where)
    _data(where / "data")
    _run_folders(folder, where / "run")
    found["predictions"] = sorted((where / "run" / "bench" / "predictions").iterdir())
    found["picture"] = _pictures(where / "pictures")
    found["onnx"] = [Path(checks.__file__).parents[1] / "points" / "weights" / "net.onnx"]
    found["onnx"].append(where / "direct.onnx")
    found["coco"] = [where / "data" / "train.json"]
    (where / "a.pts").write_text("version: 1\nn_points: 3\n{\n8.5 8\n20 8\n14.25 16\n}\n")
    cv2.imwrite(str(where / "a.png"), picture())
    found["pts"] = [where / "a.pts"]
    _fits(where / "fits" / "fits")
    _formats(where / "formats")
    for target in ("run", "fits", "formats"):
        files = sorted(
            p for p in (where / target).rglob("*") if p.is_file() and p.suffix not in (".lock", ".png")
        )
        found[target] = [p for p in files if not (target == "run" and p.parent == where / "run/bench/cache")]
    return found


def _models(where: Path) -> dict[str, list[Path]]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    p = checks.make_problem(12)
    found: dict[str, list[Path]] = {"model": [], "runtime": []}
    trees = CalibratedClassifierCV(DecisionTreeClassifier(max_depth=4, random_state=0), cv=2)
    models = {"mean": MeanShape(), "ridge": remembered(), "svc": PatchDetector(classifier=SVC())}
    models |= {
        "trees": PatchDetector(classifier=trees),
        "sdm": recipes.make_method("sdm", quick=True),
        "net": network(None),
    }
    for name, model in models.items():
        model.fit(p.images, p.xy, groups=p.groups, flip=p.flip)
        found["model"].append(where / f"{name}.hkp")
        save_model(model, found["model"][-1], {"landmarks": list("abcde")})
        if name not in ("svc", "trees"):
            found["runtime"].append(where / f"{name}.hkr")
            runtime.export_runtime(model, found["runtime"][-1])
    from zipfile import ZipFile

    with ZipFile(where / "net.hkr") as file:
        graph = next(name for name in file.namelist() if name.endswith(".onnx"))
        (where / "direct.onnx").write_bytes(file.read(graph))
    return found


def _data(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_coco(dataset(), folder / "train.json")
    write_coco(dataset(3, 10), folder / "val.json")
    for i in range(16):
        cv2.imwrite(str(folder / f"p{i}.png"), picture(i))


def _run_folders(folder: Path, where: Path) -> None:
    """What ``bench``, ``bench-points`` and ``tune`` leave, with what a kill leaves there too."""
    evaluate.bench(METHODS, problem(folder), out=where / "bench")
    left = where / "bench" / "cache" / "crops-abandoned"
    left.mkdir(parents=True)
    owner = {"hybridkp": 1, "machine": machine(), "pid": 2**22 - 1, "started": "1"}
    (left / LEASE).write_text(json.dumps(owner))
    (left / "rows.json").write_text(json.dumps({"groups": ["a"], "flip": None}))
    np.save(left / "val-matrix.npy", np.zeros((3, 2, 3)))

    sequence = folder / "seeds" / "pairs" / "v_one"
    sequence.mkdir(parents=True)
    scene = cv2.resize(picture(3, 12, 16), (160, 120), interpolation=cv2.INTER_NEAREST)
    for i in (1, 2, 3):
        cv2.imwrite(str(sequence / f"{i}.png"), scene)
    for i in (2, 3):
        np.savetxt(sequence / f"H_1_{i}", np.eye(3))
    pairs, out = load_pairs(str(sequence.parent)), where / "points"
    evaluate.note_pairs(out, str(sequence.parent), 480, False)
    evaluate.bench_pairs(MATCHERS, pairs, out=out, n_points=[64], max_timed=0)
    (out / "cache").mkdir(exist_ok=True)
    for path in sorted((out / "matched").iterdir()):
        shutil.copy(path, out / "cache")

    method = recipes.make_method("hog+ridge")
    out = where / "tuned" / "hog+ridge"
    evaluate.tune(
        method, {"alpha": [1.0, 10.0, 100.0]}, problem(folder), out=out, n_trials=3, cv=2, name="hog+ridge"
    )
    shutil.rmtree(out / "cache")


def _fits(folder: Path) -> None:
    p = checks.make_problem(12)
    with memory.remember(folder):
        memory.fitted(remembered(), p.images, p.xy, groups=p.groups, flip=p.flip)
        memory.out_of_fold(remembered(), p.images, p.xy, groups=p.groups, flip=p.flip, cv=2)
    network(folder / CHECKPOINT).fit(p.images, p.xy)


def _formats(where: Path) -> None:
    """A folder for each format that the library writes."""
    for row in FORMATS:
        if row.write is None or row.name == "coco":
            continue
        folder = where / row.name
        folder.mkdir(parents=True)
        for i in range(4):
            cv2.imwrite(str(folder / f"p{i}.png"), picture(i))
        try:
            row.write(dataset(), folder, "train")
        except InputError:  # needs a package that is not there
            shutil.rmtree(folder)


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    made = []
    options: list[tuple[str, Any]] = [(".png", picture()), (".jpg", picture()), (".bmp", picture())]
    options += [(".tiff", picture()), (".webp", picture()), (".pgm", picture()[..., 0]), (".ppm", picture())]
    options += [(".jp2", picture(0, 64, 64)), (".gif", picture()), (".png", picture().astype(np.uint16) * 16)]
    for i, (end, image) in enumerate(options):
        path = folder / f"{i}{end}"
        try:
            written = cv2.imwrite(str(path), image)
        except cv2.error:  # not every OpenCV writes GIF
            written = False
        if written:
            made.append(path)
    return made
