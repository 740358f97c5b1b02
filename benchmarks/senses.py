"""What is depth worth beside the picture, in the dark, and when one of the two fails?

    python benchmarks/senses.py -o docs/results/senses.json

``faces-...``: drawn faces with a depth camera's exact, noisy depth; each family of methods sees the picture
alone, depth alone, both early (rows or channels side by side), both late (a vote), and through a gate.  All
are judged in daylight, in the dark, and with one sense broken; the early and late ones also after a training
in which every crop had another one's depth.
``kitchen``: one kitchen by a depth camera, registered to colour; each stretch of film is left out in turn.
Which planes stand for depth is chosen on folds of the training faces.  A part that the file holds already is
not computed again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import memory
from hybridkp.datasets import corrupted, load_dataset, make_faces
from hybridkp.evaluate import make_crops
from hybridkp.evaluate.crops import Crops
from hybridkp.files import write_atomic
from hybridkp.multimodal import broken
from hybridkp.recipes import make_method
from hybridkp.structures import Array, Batch, Dataset

SEES = ("image", "depth")
PLANES = ("depth", "normals", "depth:normals")  #: candidates for what stands for depth
SIDE, DARK = 96, 3  #: px of a crop; severity of "low-light": 16 times less light
SEED = 41
#: family -> method, and what is written in its brackets
FAMILIES = {
    "hog+ridge": ("hog+ridge", ""),
    "sdm": ("sdm", ""),
    "rows": ("rows", ""),
    "rows, forest": ("rows", "model=forest,n_trees=30"),
    "heatmap": ("heatmap", "epoch_pictures=240,input_px=64,max_epochs=12"),
}
FACES, KITCHEN = ("hog+ridge", "sdm", "heatmap"), ("hog+ridge", "rows")


def written(family: str, inputs: str = "") -> str:
    name, options = FAMILIES[family]
    inside = ",".join(filter(None, (options, f"inputs={inputs}" if inputs else "")))
    return f"{name}[{inside}]" if inside else name


def contenders(family: str, planes: str) -> dict[str, str]:
    """What it sees -> expression."""
    image, depth, early = written(family), written(family, planes), written(family, f"image:{planes}")
    found = {"image": image, "depth": depth, "early": early}
    if family == "rows, forest":
        return found
    found["late"] = f"vote({image},{depth})"
    found["gate"] = f"gate({image},{depth},{early})"
    if family == "heatmap":
        found["early, no dropout"] = early.replace("inputs", "dropout=0,inputs")
    return found


def conditions(val: Crops, dark: Crops) -> dict[str, Any]:
    out = {"daylight": val.batch, "dark": dark.batch}
    for name in SEES:
        for way in ("noise", "zeros", "shuffled"):
            out[f"{name}: {way}"] = broken(val.batch, name, way, SEED)
    return out


def errors(found: Array, crops: Crops, dataset: Dataset) -> list[float]:
    """(B,) mean error of each face in % of the distance of the outer eye corners."""
    _, i, j = dataset.normalizer
    eyes = np.linalg.norm(crops.xy[:, i] - crops.xy[:, j], axis=-1)[:, None]
    return np.round(100 * np.nanmean(np.linalg.norm(found - crops.xy, axis=-1) / eyes, axis=1), 3).tolist()


def faces(n: int, family: str) -> dict[str, Any]:
    train, val = (
        make_faces(m, (128, 128), SEED + i, noise=1.5, background=f"real-{part}", name=part)
        for i, (part, m) in enumerate((("train", n), ("val", 80 if n > 100 else 8)))
    )
    cut: dict[str, Any] = {"size_hw": (SIDE, SIDE), "modalities": SEES}
    learned, judged = make_crops(train, **cut), make_crops(val, **cut)
    seen = conditions(judged, make_crops(corrupted(val, "low-light", DARK), **cut))
    facts: dict[str, Any] = {"flip": learned.flip, "groups": learned.groups}
    on_folds = {}
    for planes in PLANES:
        method = make_method(f"hog+ridge[inputs={planes}]")
        found, _ = memory.out_of_fold(method, learned.batch, learned.xy, **facts)
        on_folds[planes] = round(float(np.mean(errors(found, learned, train))), 3)
    planes = min(on_folds, key=lambda name: on_folds[name])
    runs: dict[str, dict[str, list[float]]] = {}
    for what, expression in contenders(family, planes).items():
        model = memory.fitted(make_method(expression), learned.batch, learned.xy, **facts)
        runs[what] = {name: errors(model.predict(batch), judged, val) for name, batch in seen.items()}
        say(f"{expression}: {np.mean(runs[what]['daylight']):.2f}, dark {np.mean(runs[what]['dark']):.2f}")
        if what in ("early", "late", "gate"):
            mixed = broken(learned.batch, "depth", "shuffled", SEED)
            model = memory.fitted(make_method(expression), mixed, learned.xy, **facts)
            runs[what]["trained on shuffled depth"] = errors(model.predict(judged.batch), judged, val)
    people = np.unique(judged.groups, return_inverse=True)[1]
    about = {"n_train": len(learned), "n_val": len(judged), "planes": planes, "on_folds": on_folds}
    return about | {"methods": contenders(family, planes), "groups": people.tolist(), "runs": runs}


def kitchen(n: int, families: Sequence[str] = KITCHEN) -> dict[str, Any]:
    parts = [load_dataset(sets.data_root() / "kitchen_depth", part) for part in ("train", "val")]
    parts = [part.subset(np.arange(len(part))[:: max(1, len(part) // n)]) for part in parts]
    crops = [make_crops(part, (96, 128), 1.0, modalities=SEES) for part in parts]
    batch = Batch({name: np.concatenate([c.batch[name] for c in crops]) for name in SEES})
    xy, groups = (np.concatenate([getattr(c, name) for c in crops]) for name in ("xy", "groups"))
    scale = 320 / 128  # px of the picture
    runs: dict[str, dict[str, list[float]]] = {}
    for family in families:
        for what, expression in contenders(family, "depth" if "rows" in family else "normals").items():
            runs.setdefault(family, {})[what] = []
            for group in np.unique(groups):
                out = groups == group
                rows = np.flatnonzero(~out)
                model = memory.fitted(make_method(expression), batch[rows], xy[rows], groups=groups[rows])
                apart = np.linalg.norm(model.predict(batch[np.flatnonzero(out)]) - xy[out], axis=-1)
                runs[family][what].append(round(scale * float(np.nanmean(apart)), 2))
            say(f"kitchen {expression}: {np.mean(runs[family][what]):.1f} px")
    count = {str(group): int((groups == group).sum()) for group in np.unique(groups)}
    return {"groups": count, "runs": runs, "registration": registration(parts[0])}


def registration(dataset: Dataset) -> dict[str, float]:
    """How well colour, depth and the given poses agree, where landmarks were found: px and mm, medians."""
    root = sets.data_root() / "kitchen_depth"
    cameras = json.loads((root / "cameras.json").read_text(encoding="utf-8"))
    records = {
        r["file_name"]: r for r in json.loads((root / "train.json").read_text(encoding="utf-8"))["images"]
    }
    world = np.array(list(cameras["landmarks_world_m"].values()))
    camera, shift = cameras["colour_camera"], np.array(cameras["colour_from_depth_translation_m"])
    off, apart, before = [], [], []
    for sample in dataset:
        pose = np.linalg.inv(np.array(records[sample.name]["pose"]))
        points = world @ pose[:3, :3].T + pose[:3, 3] + shift
        projected = camera["f"] * points[:, :2] / points[:, 2:] + [camera["cx"], camera["cy"]]
        xy, found = sample.instances[0].xy, sample.instances[0].visibility == 2
        off += np.linalg.norm(projected - xy, axis=1)[found].tolist()
        at = np.clip(np.rint(xy[found]), 0, [319, 239]).astype(int)
        for depth, gaps in ((sample.modalities["depth"](), apart), (raw_depth(sample), before)):
            mm = depth[at[:, 1], at[:, 0]].astype(float)
            gaps += np.abs(mm - 1000 * points[found, 2])[mm > 0].tolist()
    values = {"projected_px": off, "registered_mm": apart, "unregistered_mm": before}
    return {name: round(float(np.median(value)), 1) for name, value in values.items()}


def raw_depth(sample: Any) -> Array:
    from hybridkp.datasets.lookup import load_depth, path_of

    return load_depth(path_of(sample.modalities["depth"]))


PARTS: dict[str, Any] = {f"faces-{name}": lambda n, name=name: faces(n, name) for name in FACES}
PARTS["kitchen"] = kitchen
PARTS["kitchen-forest"] = lambda n: kitchen(n, ("rows, forest",))
#: training pictures
SIZES = {
    "faces-hog+ridge": 160,
    "faces-sdm": 120,
    "faces-heatmap": 120,
    "kitchen": 187,
    "kitchen-forest": 187,
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True, help="JSON to add to")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--fits", type=Path, help="folder that keeps finished fits (default: none is kept)")
    parser.add_argument("--quick", action="store_true", help="a moment of one part, to see that it runs")
    args = parser.parse_args(arguments)
    chosen = ["faces-hog+ridge"] if args.quick else args.parts.split(",")
    results = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    with tempfile.TemporaryDirectory() as temporary, memory.remember(args.fits or temporary):
        for part in chosen:
            if part not in results:
                results[part] = PARTS[part](16 if args.quick else SIZES[part])
                now = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
                note = {"date": time.strftime("%Y-%m-%d"), "command": "benchmarks/senses.py"}
                write_atomic(args.out, json.dumps(now | {"provenance": note, part: results[part]}) + "\n")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
