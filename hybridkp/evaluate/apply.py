"""One method put to use: train it to a file, ask it about pictures, answers in COCO's form.

The same crops as the bench; boxes come from a file or are the whole picture.  Only ``out`` is
written to.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import memory
from ..datasets import coco_document, image_ids
from ..datasets.lookup import loader
from ..files import load_model, read_image, read_meta, save_model, write_atomic
from ..imaging.draw import draw_landmarks
from ..imaging.geometry import apply_affine, crop_matrix, invert_affine
from ..structures import (
    HIDDEN,
    VISIBLE,
    Array,
    Dataset,
    DataWarning,
    InputError,
    Instance,
    Predictions,
    Sample,
    object_keys,
)
from .bench_landmarks import with_seed
from .crops import cut, make_crops, usable_box
from .worker import fit, model_meta


def train(
    estimator: Any,
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = 1.25,
    n_jobs: int = 1,
    name: str = "",
) -> Any:
    """Fit ``estimator`` on all objects of ``dataset`` and save it; returns the fitted clone.

    The file also keeps what :func:`predict` needs: landmarks, skeleton, crop size and margin.
    """
    crops = make_crops(dataset, size_hw, margin, n_jobs=n_jobs)
    groups, flip = crops.groups, crops.flip
    with memory.remember_for_now():  # a member that is asked out of fold and fitted too does each fit once
        model = fit(with_seed(estimator, seed), crops.images, crops.xy, groups, flip)
    save_model(model, path, model_meta(dataset, crops.size_hw, crops.margin, name))
    return model


def predict(
    model: str | os.PathLike[str] | Any,
    pictures: Iterable[str | os.PathLike[str]],
    *,
    boxes: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    overlays: bool = True,
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Landmarks of every boxed object in ``pictures`` as a COCO document.

    Parameters
    ----------
    model : a model file, or a fitted detector (then ``meta`` may give landmarks, margin, ...)
    boxes : COCO JSON file, or file name -> (N, 4) boxes x, y, w, h; None: the whole picture is the
        box.  A name stands for the picture whose path ends with it; a picture that is not in it is
        left out with a :class:`DataWarning`.
    out : folder for ``predictions.json`` and, with ``overlays``, ``overlays/*.jpg``

    Returns
    -------
    dict with images, annotations (``keypoints`` x, y, 2; ``keypoint_scores``) and categories,
    which :func:`hybridkp.datasets.load_dataset` reads back.  Where the model has
    ``predict_with_visibility`` (:class:`hybridkp.fusion.WithVisibility`), each annotation also has
    ``keypoint_visibility``, the probabilities, and a point below one half is x, y, 1: COCO's
    "labelled but not visible", which keeps the point.
    """
    if isinstance(model, str | os.PathLike):
        meta = read_meta(model)
        model = load_model(model)
    meta = dict(meta or {})
    size_hw = tuple(meta.get("size_hw") or model.size_hw_)
    margin = float(meta.get("margin", 1.25))
    table = _read_boxes(boxes) if isinstance(boxes, str | os.PathLike) else boxes
    samples, answers = [], []
    skeleton = np.asarray(meta.get("skeleton") or np.zeros((0, 2)), int).reshape(-1, 2)
    names: set[str] = set()
    for number, path in enumerate(map(Path, pictures), 1):
        image = read_image(path)
        instances = []
        for box in _boxes_of(path, table, image.shape[:2]):
            matrix = crop_matrix(box, size_hw, margin)
            xy, score, seen = _ask(model, cut(image, matrix, size_hw))
            points = apply_affine(invert_affine(matrix), xy)
            state: Any = None if seen is None else np.where(seen >= 0.5, VISIBLE, HIDDEN)
            instances.append(Instance(points, state, box, box[2] * box[3], _mean(score)))
            answers.append((score, seen))
        samples.append(
            Sample(str(path), loader(path), tuple(instances), str(path), image.shape[:2], image_id=number)
        )
        if out is not None and overlays:
            name = path.stem if path.stem not in names else f"{path.stem}-{number}"
            names.add(name)
            _draw(image, instances, skeleton, Path(out) / "overlays" / f"{name}.jpg")
    document = _document(samples, answers, meta, skeleton)
    if out is not None:
        write_atomic(Path(out) / "predictions.json", json.dumps(document, allow_nan=False, indent=1))
    return document


def predictions_to_coco(predictions: Predictions, dataset: Dataset) -> list[dict[str, Any]]:
    """COCO's result list: per object image_id, category_id, keypoints (x, y, score) and score.

    Ids are the data's own (pictures without one are counted from 1, as :func:`.write_coco` does); of two
    pictures of one name the first comes first.  A point that was not given is 0, 0, 0, as COCO writes it.
    """
    keys = object_keys((s.name, n) for s in dataset for n in range(len(s.instances)))
    images = [i for s, i in zip(dataset, image_ids(dataset), strict=True) for _ in s.instances]
    ids = dict(zip(keys, images, strict=True))
    rows_of = object_keys(zip(predictions.names, predictions.instance.tolist(), strict=True))
    missing = [key[0] for key in rows_of if key not in ids]
    if missing:
        raise InputError(f"{dataset.name}: has no picture {missing[0]!r}; give the data that were predicted")
    rows = np.concatenate([predictions.xy, predictions.score[..., None]], axis=2)
    rows[~np.isfinite(rows).all(axis=2)] = 0
    return [
        {
            "image_id": ids[key],
            "category_id": dataset.category_id,
            "keypoints": np.round(row, 3).ravel().tolist(),
            "score": float(row[:, 2].mean()),
        }
        for key, row in zip(rows_of, rows.astype(float), strict=True)
    ]


def _document(
    samples: list[Sample],
    answers: list[tuple[Array, Array | None]],
    meta: Mapping[str, Any],
    skeleton: Array,
) -> dict[str, Any]:
    k = len(answers[0][0]) if answers else len(meta.get("landmarks", ()))
    names = tuple(meta.get("landmarks") or (f"point{i}" for i in range(k)))
    label = f"answers of {meta.get('method') or 'a detector'}"
    found = Dataset(label, names, tuple(samples), skeleton, category=meta.get("category", "object"))
    document = coco_document(found)
    for annotation, (score, seen) in zip(document["annotations"], answers, strict=True):
        annotation["keypoint_scores"] = _rounded(score)
        if seen is not None:
            annotation["keypoint_visibility"] = _rounded(seen)
    return document


def _ask(model: Any, crop: Array) -> tuple[Array, Array, Array | None]:
    """Points (K, 2) and scores (K,) of one crop, and visibility (K,) where the model predicts it."""
    if hasattr(model, "predict_with_visibility"):
        xy, score, seen = model.predict_with_visibility(crop[None])
        return xy[0], score[0], seen[0]
    xy, score = model.predict_with_score(crop[None])
    return xy[0], score[0], None


def _rounded(values: Array) -> list[float]:
    return np.round(np.nan_to_num(values), 4).astype(float).tolist()


def _mean(score: Array) -> float:
    finite = score[np.isfinite(score)]
    return float(finite.mean()) if len(finite) else 0.0


def _draw(image: Array, instances: list[Instance], skeleton: Array, path: Path) -> None:
    for instance in instances:
        image = draw_landmarks(image, instance.xy, skeleton=skeleton)
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise InputError(
            f"{path}: {image.shape[1]} x {image.shape[0]} px do not fit a JPEG; use --no-overlays"
        )
    write_atomic(path, data.tobytes())


def _boxes_of(path: Path, table: Mapping[str, Any] | None, image_hw: tuple[int, int]) -> Array:
    """Boxes (N, 4) of one picture; a box wholly outside it is left out."""
    if table is None:
        return np.array([[0.0, 0.0, image_hw[1], image_hw[0]]])
    ends = ["/".join(path.parts[i:]) for i in range(len(path.parts))]  # the longest that is there
    rows = next((table[key] for key in (str(path), path.as_posix(), *ends) if key in table), None)
    if rows is None:
        warnings.warn(f"{path}: has no box, left out", DataWarning, stacklevel=3)
        return np.zeros((0, 4))
    k = np.zeros((1, 2))
    found = [usable_box(Instance(k, box_xywh=box), image_hw)[0] for box in np.reshape(rows, (-1, 4))]
    if any(box is None for box in found):
        warnings.warn(f"{path}: a box outside the picture is left out", DataWarning, stacklevel=3)
    return np.array([box for box in found if box is not None]).reshape(-1, 4)


def _read_boxes(path: str | os.PathLike[str]) -> dict[str, list[Any]]:
    """File name -> boxes, from COCO JSON; also without folders, where that names one picture only."""
    try:
        document = json.loads(Path(path).read_bytes())
        names = {image["id"]: str(image["file_name"]) for image in document["images"]}
        table: dict[str, list[Any]] = {name: [] for name in names.values()}
        for annotation in document["annotations"]:
            box = [float(v) for v in annotation["bbox"]]
            if len(box) != 4:
                raise ValueError("bbox")
            table[names[annotation["image_id"]]].append(box)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise InputError(
            f"{path}: needs COCO JSON with images (id, file_name) and annotations (bbox)"
        ) from None
    count = Counter(Path(name).name for name in table)
    short = {Path(name).name: rows for name, rows in table.items() if count[Path(name).name] == 1}
    return {**short, **table}
