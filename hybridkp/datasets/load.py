"""One door for data: a folder, a JSON file, a folder of .pts files, or the word "synthetic".

Looks at what lies there and calls the reader; knows no format itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..structures import Dataset, InputError

SYNTHETIC = "synthetic"
#: pictures of the embedded synthetic set per split, and the seed of each
SYNTHETIC_SPLITS = {"train": (400, 0), "val": (160, 1_000_003)}

_SPLIT = re.compile(r"(?:^|[_\-.])(train|val|valid|validation|test)(?:set)?(?:\d{4})?$", re.IGNORECASE)
_ORDER = {"train": 0, "val": 1, "test": 2}


def split_names(path: str | Path) -> tuple[str, ...]:
    """The splits found at ``path``, in the order train, val, test; empty when it is undivided."""
    if str(path) == SYNTHETIC:
        return tuple(SYNTHETIC_SPLITS)
    return tuple(_splits(_existing(path)))


def split_sources(path: str | Path) -> dict[str, Path]:
    """Split name -> the JSON file or .pts folder behind it; {"all": ...} when undivided."""
    root = _existing(path)
    return _splits(root) or {"all": _whole(root)}


def load_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Annotated pictures from wherever ``path`` points.

    * "synthetic": the embedded faces (:func:`~hybridkp.datasets.synthetic.faces.make_faces`), train and
      val with other seeds, other people and other backgrounds;
    * a COCO keypoint JSON file;
    * a folder with ``train.json``, ``val.json`` (``test.json``) beside ``images/``, or in its
      ``annotations/``; also ``train/_annotations.coco.json`` and ``..._train2017.json``;
    * a folder of 300-W ``.pts`` files, itself or in ``train``/``test`` subfolders.

    ``split`` None reads everything there is, the splits one after the other.

    Raises
    ------
    InputError
        No such path, nothing readable there, or no such split (names those there are).
    """
    if str(path) == SYNTHETIC:
        return _synthetic(split)
    root = _existing(path)
    splits = _splits(root)
    if split is not None:
        if split not in splits:
            there = ", ".join(splits) or "none: the data are undivided"
            raise InputError(f"{path}: no split {split!r} (there: {there})")
        return _read(splits[split], _name(root, split))
    if not splits:
        return _read(_whole(root), _name(root, None))
    return _join([_read(p, _name(root, s)) for s, p in splits.items()], _name(root, None))


def _existing(path: str | Path) -> Path:
    root = Path(path).expanduser()
    if not root.exists():
        raise InputError(f'{path}: no such file or folder (or say "{SYNTHETIC}" for the embedded faces)')
    return root


def _name(root: Path, split: str | None) -> str:
    stem = root.resolve().stem if root.is_file() else root.resolve().name
    return f"{stem}-{split}" if split else stem


def _split_of(stem: str) -> str | None:
    found = _SPLIT.search(stem)
    if not found:
        return None
    word = found.group(1).lower()
    return "val" if word.startswith("val") else word


def _splits(root: Path) -> dict[str, Path]:
    """Split name -> JSON file or .pts folder."""
    if root.is_file():
        return {}
    out: dict[str, Path] = {}
    for folder in (root, root / "annotations"):
        files = sorted(folder.glob("*.json"), key=lambda p: (len(p.name), p.name))
        keypoints = [p for p in files if "keypoints" in p.stem]  # COCO's folder also has captions
        for file in keypoints or files:
            split = _split_of(file.stem)
            if split:
                out.setdefault(split, file)
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        split = _split_of(folder.name)
        if split and split not in out:
            json_file = folder / "_annotations.coco.json"
            if json_file.is_file():
                out[split] = json_file
            elif next(folder.rglob("*.pts"), None) is not None:
                out[split] = folder
    return dict(sorted(out.items(), key=lambda item: _ORDER[item[0]]))


def _whole(root: Path) -> Path:
    """The one thing to read in an undivided folder."""
    if root.is_file():
        return root
    files = sorted(root.glob("*.json")) or sorted(root.glob("annotations/*.json"))
    if len(files) == 1:
        return files[0]
    if len(files) > 1:
        names = ", ".join(f.name for f in files[:4])
        raise InputError(f"{root}: several JSON files ({names}) and none is train.json; give one of them")
    if next(root.rglob("*.pts"), None) is not None:
        return root
    raise InputError(f"{root}: neither a JSON nor a .pts file in it; see load_dataset for what can be read")


def _read(path: Path, name: str) -> Dataset:
    if path.is_dir() or path.suffix.lower() == ".pts":
        from .pts import read_pts_folder

        return read_pts_folder(path, name=name)
    if path.suffix.lower() not in (".json", ".coco"):
        raise InputError(f"{path}: expected a COCO .json, a folder, or a folder of .pts files")
    from .coco import read_coco

    return read_coco(path, name=name)


def _join(parts: list[Dataset], name: str) -> Dataset:
    """Parts of one landmark scheme as one set."""
    first = parts[0]
    for part in parts[1:]:
        if part.landmarks != first.landmarks:
            raise InputError(
                f"{part.name} has {len(part.landmarks)} landmarks, {first.name} {len(first.landmarks)}"
                " (or other names): splits must share one scheme; read them one by one with split="
            )
    return replace(first, name=name, samples=tuple(s for part in parts for s in part.samples))


def _synthetic(split: str | None) -> Dataset:
    from .synthetic.faces import make_faces

    if split is not None and split not in SYNTHETIC_SPLITS:
        raise InputError(f"synthetic: no split {split!r} (there: {', '.join(SYNTHETIC_SPLITS)})")
    parts = [
        make_faces(n, random_state=seed, background=f"real-{s}", name=f"synthetic-{s}")
        for s, (n, seed) in SYNTHETIC_SPLITS.items()
        if split in (None, s)
    ]
    return parts[0] if len(parts) == 1 else _join(parts, SYNTHETIC)
