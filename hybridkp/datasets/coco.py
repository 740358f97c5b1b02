"""COCO keypoint JSON, read: any K, visibility 0/1/2, custom ``flip_indices`` and ``group``.

What a file leaves out is repaired by the rules of :func:`read_coco`, with one
:class:`~hybridkp.structures.DataWarning` that counts the repairs; what cannot be repaired is an
:class:`~hybridkp.structures.InputError` that names the file, the instance and the cure.
Pictures are not opened here.  (K, 2) points, 0-based; boxes (4,) along pixel edges.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, Dataset, InputError, Sample
from .adjust import whole_picture
from .coco_objects import Record, mm_per_px_of, read_instances, size_hw_of
from .coco_senses import senses_of
from .layouts import infer_flip, names_for, parse_normalizer, recognise
from .lookup import find_pictures
from .repairs import Repaired, Repairs
from .tags import tags_of
from .text import read_text

#: names, sizes -> loads, how the names had to be read
Find = Callable[[Sequence[str], Sequence[tuple[int, int] | None]], tuple[list[Callable[[], Array]], str]]
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  #: may be half of a pair, may be alone


def read_coco(
    json_path: str | Path,
    images_dir: str | Path | None = None,
    name: str | None = None,
    *,
    category: str | int | None = None,
) -> Dataset:
    """A COCO keypoint file as a lazy :class:`~hybridkp.structures.Dataset`.

    Parameters
    ----------
    json_path : the annotation file
    images_dir : where ``file_name`` is looked up; otherwise ``<json's folder>/images``, the
        json's folder, and COCO's own ``<..>/<split><year>``, in this order
    name : default ``<folder>-<file stem>``
    category : name or id of the category, when several have keypoints; default the only one in use

    Notes
    -----
    Rules, each counted in one warning per file:

    * ``area`` missing or not positive: width times height of the box;
    * ``bbox`` missing, without width or height, or wholly outside the picture: the points' box
      grown by 10 % of its longer side on every side; the whole picture when fewer than two
      points are labelled or they coincide; an instance with neither is skipped;
    * ``num_keypoints`` missing or wrong: counted again;
    * NaN, infinite or null coordinates, and points further outside than the picture's longer
      side: not labelled (they are sentinels or slips, no landmarks);
    * visibility between the whole numbers (pseudo-labels write 0.93): rounded up, so that v > 0 is
      labelled, as in pycocotools; outside 0..2: below 0 is 0, above 2 is 2;
    * ``keypoints`` missing, null or empty: the object is skipped;
    * ``file_name`` as another machine writes it (``\\``, ``%20``, ``C:\\data\\a.png``): see
      :func:`~hybridkp.datasets.lookup.find_pictures`.

    A picture's ``depth_file``, ``audio_file`` with ``time`` (s), ``text`` and ``lines``
    (x0, y0, x1, y1, text) become its modalities ``depth``, ``sound``, ``text`` and ``words``; ``view`` and
    ``instant`` are kept.

    ``v = 0`` is not labelled, whatever its coordinates.  An instance without any labelled point
    is kept with ``ignore`` set.  ``image.group`` names the group; without it each picture is its
    own group (``hybridkp data check`` says so).  ``flip_indices`` absent: inferred from
    left/right in the names, else None.  ``info.normalizer`` and ``category.sigmas`` override
    what :mod:`~hybridkp.datasets.layouts` knows; when every picture has ``image.mm_per_px`` the
    normaliser is ("mm",), else when every box is its whole picture ("pixel",).

    Raises
    ------
    InputError
        No such file, broken JSON, no instance, K that changes, repeated ids, unknown image_id,
        pictures nowhere to be found.
    """
    path = Path(json_path)
    document = read_json(path)
    folders = _folders(path) if images_dir is None else [Path(images_dir)]
    depths = [image["depth_file"] for image in document["images"] if isinstance(image.get("depth_file"), str)]

    def find(names: Any, sizes: Any) -> Any:
        return find_pictures(names, folders, str(path), sizes, never=depths)

    return dataset_of(
        *(document, path, find),
        *(name, category),
        folders=[path.parent, *folders, *[path.parent.parent] * (path.parent.name == "annotations")],
    )


def dataset_of(
    document: Record,
    path: Path,
    find: Find,
    name: str | None = None,
    category: str | int | None = None,
    repairs: Repairs | None = None,
    folders: Sequence[Path] = (),
) -> Dataset:
    """A COCO document as a data set, by the rules of :func:`read_coco`; other formats' readers end here too.

    ``find`` gives each picture's ``load``, and how the names had to be read, from the names and the sizes;
    ``repairs`` were made before; in ``folders`` lie the files of further modalities.
    """
    chosen = pick_category(document, category, path)
    landmarks = tuple(str(n) for n in chosen["keypoints"])
    images = _images_by_id(document, path)
    repairs = defaultdict(list, repairs or {})
    instances = read_instances(document, chosen, images, path, repairs)
    names = [image["file_name"] for image in images.values()]
    loads, told = find(names, [size_hw_of(image) for image in images.values()])
    if told:
        repairs[f"file names of another machine, read {told}"] = names
    edges = _skeleton(chosen, path, repairs)
    if repairs:
        warnings.warn(Repaired(str(path), repairs), stacklevel=3)
    samples = tuple(
        Sample(
            name=image["file_name"],
            load=load,
            instances=tuple(instances[image_id]),
            group=str(image.get("group") or image["file_name"]),
            size_hw=size_hw_of(image),
            image_id=image_id,
            mm_per_px=mm_per_px_of(image),
            tags=tags_of(image),
            **senses,
        )
        for load, senses, (image_id, image) in zip(
            loads, senses_of(list(images.values()), path, folders), images.items(), strict=True
        )
    )
    dataset_name = name or f"{path.resolve().parent.name}-{path.stem}"
    return _dataset(dataset_name, landmarks, samples, chosen, edges, document.get("info"), path)


def read_json(path: Path) -> Record:
    """The file's object, with each way to fail in one line."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the JSON file in it, or the folder to load_dataset")
    text = read_text(path)
    if not text.strip():
        raise InputError(f"{path}: the file is empty; write the annotations again")
    try:
        document = json.loads(text)
        if _HALF.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        early = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        cut = " (it ends early: copied or written only in part?)" if early else ""
        raise InputError(
            f"{path}: not valid JSON, line {error.lineno} column {error.colno}: {error.msg}{cut}"
        ) from None
    except UnicodeEncodeError:
        raise InputError(f"{path}: holds half a character (a lone surrogate); save it as UTF-8") from None
    except ValueError:
        raise InputError(
            f"{path}: holds a number of thousands of digits; no coordinate or id has them"
        ) from None
    except RecursionError:
        raise InputError(f"{path}: not a COCO file: nested too deeply") from None
    if isinstance(document, list):
        raise InputError(f"{path}: is a list, as COCO *results* are; annotations need an object with images")
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a COCO file: holds {type(document).__name__}, not an object")
    for key in ("images", "annotations", "categories"):
        rows = document.get(key)
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise InputError(f"{path}: not a COCO keypoint file: '{key}' is missing or not a list of objects")
    return document


def pick_category(document: Record, wanted: str | int | None, path: Path) -> Record:
    """The category of that name, or the only one that objects use; its keypoints are names."""
    _name_landmarks(document)
    able = [c for c in document["categories"] if c.get("keypoints") and isinstance(c["keypoints"], list)]
    if wanted is not None:
        named = [c for c in able if c.get("name") == wanted]
        there = _categories(able)
        able = named or [c for c in able if str(c.get("id")) == str(wanted)]
        if not able and there:
            raise InputError(f"{path}: no category {wanted!r} with keypoints (there: {there})")
    if not able:
        raise InputError(f"{path}: no category lists its keypoints; add 'keypoints': [names] to the category")
    if len(able) > 1:
        ids = (a.get("category_id") for a in document["annotations"])
        used = {each for each in ids if isinstance(each, Hashable)}
        able = [c for c in able if isinstance(c.get("id"), Hashable) and c.get("id") in used] or able[:1]
    if len(able) > 1:
        raise InputError(
            f"{path}: several categories have keypoints ({_categories(able)}); choose one by name or id:"
            " --category, in Python category="
        )
    names = [str(n) for n in able[0]["keypoints"]]
    if len(set(names)) != len(names):
        twice = next(n for n, count in Counter(names).items() if count > 1)
        raise InputError(f"{path}: the landmark name {twice!r} occurs twice; names must differ")
    return able[0]


def _categories(rows: list[Record]) -> str:
    first = (f"{str(c.get('name'))[:40]!r} id {str(c.get('id'))[:20]}" for c in rows[:9])
    return ", ".join(first) + (f" and {len(rows) - 9} more" if len(rows) > 9 else "")


def _name_landmarks(document: Record) -> None:
    """Names for a single category that lists none, as face sets do: its objects say how many."""
    rows = document["categories"]
    if len(rows) != 1 or rows[0].get("keypoints"):
        return
    tables = (a.get("keypoints") for a in document["annotations"])
    first = next((t for t in tables if isinstance(t, list) and t and len(t) % 3 == 0), ())
    if first:
        rows[0]["keypoints"] = list(names_for(len(first) // 3, str(rows[0].get("name", ""))))


def _images_by_id(document: Record, path: Path) -> dict[Any, Record]:
    images: dict[Any, Record] = {}
    for row, image in enumerate(document["images"]):
        if "id" not in image or not isinstance(image.get("file_name"), str) or not image["file_name"]:
            raise InputError(f"{path}: images[{row}] needs an id and a file_name")
        if not isinstance(image["id"], int | str):
            raise InputError(f"{path}: images[{row}] has id {image['id']!r}; ids are whole numbers")
        if image["id"] in images:
            raise InputError(f"{path}: image id {image['id']} occurs twice; ids must differ")
        images[image["id"]] = image
    if not images:
        raise InputError(f"{path}: lists no picture; nothing to read")
    return images


def _folders(path: Path) -> list[Path]:
    """Where the pictures of a JSON may lie, best guess first."""
    here = path.parent
    folders = [here / "images", here]
    found = re.search(r"(train|val|valid|test)(\d{4})?$", path.stem)
    for root in (here, here.parent):
        if found:
            folders += [root / found.group(0), root / "images" / found.group(0)]
        folders.append(root / "images")
    return folders


def _dataset(
    name: str,
    landmarks: tuple[str, ...],
    samples: tuple[Sample, ...],
    category: Record,
    edges: Array,
    info: Any,
    path: Path,
) -> Dataset:
    info = info if isinstance(info, dict) else {}
    k = len(landmarks)
    layout = recognise(landmarks, str(category.get("name", "")))
    flip = _numbers(category, "flip_indices", int, path)
    if flip is None:
        flip = layout.flip if layout else infer_flip(landmarks)
    elif flip.shape != (k,) or sorted(flip.tolist()) != list(range(k)):
        raise InputError(f"{path}: flip_indices must be the {k} numbers 0..{k - 1}, each once")
    sigmas = _numbers(category, "sigmas", float, path)
    if sigmas is None and layout and layout.sigmas is not None:
        sigmas = np.array(layout.sigmas)
    return Dataset(
        name=name,
        landmarks=landmarks,
        samples=samples,
        skeleton=edges,
        flip=flip,
        sigmas=np.full(k, 0.05) if sigmas is None else sigmas,
        normalizer=_normalizer(info, landmarks, layout, samples, str(path)),
        licence=_licence(info),
        category=str(category.get("name", "object")),
        category_id=category.get("id", 1),
    )


def _skeleton(category: Record, path: Path, repairs: Repairs) -> Array:
    """(E, 2) pairs from 0; COCO counts them from 1, several data sets' files from 0."""
    k, edges = len(category["keypoints"]), _numbers(category, "skeleton", int, path)
    if edges is None or not edges.size:
        return np.zeros((0, 2), int)
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise InputError(f"{path}: the skeleton must be pairs of landmarks, [[1, 2], ...]")
    if edges.min() == 0 and edges.max() < k:
        repairs["the skeleton counts from 0, not from 1"].append(str(category.get("name", "category")))
        return edges
    if edges.min() < 1 or edges.max() > k:
        raise InputError(f"{path}: the skeleton must name landmarks 1..{k} (COCO counts from 1)")
    return edges - 1


def _numbers(category: Record, key: str, dtype: type, path: Path) -> Array | None:
    """The category's entry as an array; None where it is absent or null."""
    value = category.get(key)
    try:
        return None if value is None else np.array(value, dtype)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: the category's {key} must hold numbers") from None


def _normalizer(info: Record, landmarks: tuple[str, ...], layout: Any, samples: Any, where: str) -> Any:
    if "normalizer" in info:
        return parse_normalizer(info["normalizer"], landmarks, where)
    if layout is not None:
        return layout.normalizer
    if samples and all(s.mm_per_px > 0 for s in samples):
        return ("mm",)
    pairs = [(i.box_xywh, s.size_hw) for s in samples for i in s.instances]
    if pairs and all(whole_picture(box, size) for box, size in pairs):
        return ("pixel",)
    return ("box",)


def _licence(info: Record) -> str:
    return str(info.get("licence") or info.get("license") or "")
