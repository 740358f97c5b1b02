"""One method put to use: train it to a file, predict pictures, predictions in COCO's form.

The same crops as the bench; boxes come from a file or are the whole picture.  Only ``out`` is
written to.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import memory, runtime
from ..datasets import coco_document, image_ids
from ..datasets.coco_senses import FIELDS
from ..datasets.linter import check_size
from ..datasets.lookup import loader
from ..detection import BoxesGiven, TopDown, WholePicture
from ..detection.fitting import fit_finder
from ..detection.nodes.whole_picture import PictureRun
from ..files import load_model, needed_bits, read_meta, save_model, write_atomic
from ..imaging.draw import draw_boxes, draw_landmarks
from ..structures import (
    MARGIN,
    Array,
    Dataset,
    DataWarning,
    InputError,
    Instance,
    Predictions,
    Problem,
    Sample,
    as_problem,
    clone,
    modalities_of,
    object_keys,
)
from .bench_landmarks import with_seed
from .crop_files import forget_crops
from .crops import load_modalities, loaders, make_crops
from .found_boxes import found_too, moved_too, rebox_of
from .problem import seeing
from .worker import fit, model_meta


def train(
    estimator: Any,
    data: Problem | Dataset,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_jobs: int = 1,
    name: str = "",
) -> Any:
    """Fit ``estimator`` on all objects of a training part and save it; returns the fitted clone.

    A :class:`~hybridkp.detection.TopDown` learns both of its halves from the same annotations, its
    detector in given, found and moved boxes (:func:`found_too`); a :class:`~hybridkp.detection.WholePicture`
    learns from whole pictures.  The file also keeps what :func:`predict`
    needs: landmarks, skeleton, crop size and margin.  While it is made,
    finished fits lie in a hidden folder beside it; a training that is stopped and called again goes on there.

    Parameters
    ----------
    data : a problem, of which ``train`` is learned from, or a data set, with the usual crops
    seed : every ``random_state`` parameter, nested ones too, is set to it
    name : of the method, for the record
    """
    problem = seeing(as_problem(data), estimator)
    path, estimator, taught, finder = Path(path), with_seed(estimator, seed), problem.train, None
    if isinstance(estimator, WholePicture):
        return _train_whole(estimator, problem, path, name)
    if isinstance(estimator, TopDown):
        finder = fit_finder(estimator.finder, taught.samples)
        taught = moved_too(found_too(taught, finder))
    detector = estimator if finder is None else estimator.detector
    fits = path.with_name(f".{path.name}.fits")
    cut = problem.size_hw, problem.margin, n_jobs, problem.modalities, problem.anyway, fits
    # a member that is needed out of fold and fitted too does each fit once, also after a kill
    with memory.remember_until_done(fits):
        crops = make_crops(taught, *cut)
        model = fit(detector, crops.batch, crops.xy, crops.groups, crops.flip)
        if finder is not None:
            cut_hw, least = problem.size_hw, estimator.min_score
            model = TopDown(finder, model, cut_hw, problem.margin, least, rebox_of(problem.train))
        save_model(model, path, model_meta(problem, name))
        forget_crops(fits)
    return model


def _train_whole(estimator: WholePicture, problem: Problem, path: Path, name: str) -> WholePicture:
    """A method that begins with whole pictures, fitted and saved; a stopped training goes on."""
    train = problem.train
    model = clone(estimator).set_params(size_hw=problem.size_hw, margin=problem.margin)
    about = f"{memory.source_of(model)} {memory.describe([model, train.skeleton])}"
    with memory.remember_until_done(path.with_name(f".{path.name}.fits")), memory.in_progress(about):
        model.fit(train.samples, skeleton=train.skeleton, flip=train.flip)
        save_model(model, path, model_meta(problem, name))
    return model


def predict(
    model: str | os.PathLike[str] | Any,
    pictures: Iterable[str | os.PathLike[str] | Sample],
    *,
    boxes: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    overlays: bool = True,
    meta: Mapping[str, Any] | None = None,
    min_score: float | None = None,
    refused: list[str] | None = None,
) -> dict[str, Any]:
    """Landmarks of every boxed object in ``pictures`` as a COCO document.

    Parameters
    ----------
    model : a model file or a .hkr file, or a fitted detector (``meta`` may then give landmarks, margin, ...)
    pictures : files; or samples, such as a data set's, which a model that also sees depth, sound or text
        needs: their labels are not looked at
    boxes : COCO JSON file, of whose categories the model's own is meant where it has several; or file name
        -> (N, 4) boxes x, y, w, h; None: the model's own finder; without one the samples' boxes, or, with a
        :class:`~hybridkp.structures.DataWarning`, the whole picture as one (see
        :class:`hybridkp.detection.BoxesGiven`).  Pictures without boxes are left out with one
        :class:`~hybridkp.structures.DataWarning`; that no picture has any is an InputError
    min_score : boxes of the model's finder whose score is lower are left out; None: as it was trained
    out : folder for ``predictions.json`` and, with ``overlays``, ``overlays/*.jpg``
    refused : gets the complaint about each picture that cannot be read, which is then left out; None: the
        first one is an error

    Returns
    -------
    dict with images, annotations (``keypoints`` x, y, 2; ``keypoint_scores``) and categories,
    which :func:`hybridkp.datasets.load_dataset` reads back.  Where the model has
    ``predict_with_visibility`` (:class:`hybridkp.fusion.WithVisibility`), each annotation also has
    ``keypoint_visibility``, the probabilities, and a point below one half is x, y, 1: COCO's
    "labelled but not visible", which keeps the point.  Of a model that ends in ``presence`` each annotation
    says how probable it is that there is an object, ``presence``; of one with ``covariance``, how its points
    may err, ``keypoint_covariance`` (K, 2, 2), px².
    """
    model, meta = open_model(model, meta)
    pictures = list(pictures)
    files = [Path(each) for each in pictures if not isinstance(each, Sample)]
    bits = needed_bits(files, "the pictures")
    asked = [each if isinstance(each, Sample) else _of_file(Path(each), bits) for each in pictures]
    seen = dict.fromkeys(("image", *modalities_of(model), *meta.get("modalities", ())))
    _check_senses(asked, [name for name in seen if name != "image"])
    if boxes is None and not isinstance(model, TopDown | WholePicture | PictureRun):
        boxes = _boxes_of([each for each in pictures if isinstance(each, Sample)])
    detector = _whole_pictures(model, boxes, meta, min_score)
    skeleton = skeleton_of(meta)
    samples = []
    names: set[str] = set()
    boxless = _boxless(getattr(detector, "finder", None), [sample.name for sample in asked], boxes)
    for number, sample in enumerate(asked, 1):
        try:
            shown = load_modalities(loaders(sample, list(seen)), sample.name)
        except InputError as error:
            if refused is None or len(refused) == len(asked) - 1:  # not one can be read
                raise
            refused.append(str(error))
            continue
        image = shown["image"]
        check_size(sample.name, sample.size_hw, image.shape[:2])  # its boxes are of the annotated one
        picture = shown if len(seen) > 1 else image
        instances = () if sample.name in boxless else tuple(detector.detect(picture, name=sample.name))
        own = isinstance(sample.image_id, str) or sample.image_id >= 0
        image_id = sample.image_id if own else number
        samples.append(replace(sample, instances=instances, size_hw=image.shape[:2], image_id=image_id))
        if out is not None and overlays:
            stem = Path(sample.name).stem
            name = stem if stem not in names else f"{stem}-{number}"
            names.add(name)
            _draw(image, instances, skeleton, Path(out) / "overlays" / f"{name}.jpg")
    document = _document(samples, meta, skeleton)
    if out is not None:
        write_atomic(Path(out) / "predictions.json", json.dumps(document, allow_nan=False, indent=1))
    return document


def open_model(model: Any, meta: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """A model file's or a .hkr file's detector and what it says of itself; a detector as it is."""
    if isinstance(model, str | os.PathLike) and Path(model).suffix.lower() == ".hkr":
        loaded = runtime.load(model)
        meta = {**loaded.meta, "size_hw": loaded.size_hw}
        model = loaded.whole if isinstance(loaded, runtime.RuntimePictureDetector) else loaded
    elif isinstance(model, str | os.PathLike):
        meta = read_meta(model)
        model = load_model(model)
    return model, dict(meta or {})


def skeleton_of(meta: Mapping[str, Any]) -> Array:
    """(E, 2) int, the pairs of landmarks that a model's ``meta`` joins; (0, 2) where it joins none."""
    return np.asarray(meta.get("skeleton") or np.zeros((0, 2)), int).reshape(-1, 2)


def _of_file(path: Path, bits: int | None) -> Sample:
    return Sample(str(path), loader(path, bits), (), str(path))


def _check_senses(samples: Sequence[Sample], wanted: Sequence[str]) -> None:
    """:class:`InputError` for the first sample that lacks what a model sees beside the picture."""
    for sample in samples:
        missing = [name for name in wanted if name not in sample.modalities]
        if missing:
            raise InputError(
                f"{sample.name}: the model also sees {missing[0]}, and nothing says where it is: predict a"
                f" COCO file whose pictures name it ({', '.join(FIELDS.get(name, name) for name in missing)})"
            )


def _boxes_of(samples: Sequence[Sample]) -> dict[str, list[Array]] | None:
    """The boxes of each sample's objects by its name; None where no sample has an object."""
    boxes: dict[str, list[Array]] = {sample.name: [] for sample in samples}
    for sample in samples:
        boxes[sample.name] += [instance.box_xywh for instance in sample.instances]
    return boxes if any(boxes.values()) else None


def _boxless(finder: Any, names: Sequence[str], boxes: Any) -> set[str]:
    """The pictures that have no boxes, told once; :class:`InputError` when no picture has any."""
    if not isinstance(finder, BoxesGiven) or finder.boxes is None or not names:
        return set()
    missing = [name for name in names if finder.given(name) is None]
    if len(missing) == len(names):
        where = boxes if isinstance(boxes, str | os.PathLike) else "boxes"
        first = next(iter(finder.boxes), "it is empty")
        raise InputError(
            f"{where}: has boxes of none of the {len(names)} pictures (first: {names[0]}; in the file:"
            f" {str(first)[:200]}); names must end alike"
        )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        warnings.warn(f"{missing[0]}{more}: has no box, left out", DataWarning, stacklevel=3)
    return set(missing)


def _whole_pictures(model: Any, boxes: Any, meta: Mapping[str, Any], min_score: float | None) -> Any:
    """A model as a detector of whole pictures: by boxes that are given, by its finder, or by none."""
    begins = isinstance(model, WholePicture | PictureRun)
    if begins and boxes is not None:
        raise InputError(
            "this model begins with whole pictures and finds its objects itself: leave --boxes out"
        )
    if begins or (isinstance(model, TopDown) and boxes is None):
        return model.at_least(min_score)
    if min_score is not None:
        raise InputError("min_score leaves out what a finder is unsure of: here is none, or boxes are given")
    if boxes is None:
        warnings.warn(
            "no boxes, and the model has no finder: each picture is taken as one object, whatever it shows;"
            " give --boxes, or train with --finder",
            DataWarning,
            stacklevel=3,
        )
    read = isinstance(boxes, str | os.PathLike)
    given = BoxesGiven.read(boxes, meta.get("category")) if read else BoxesGiven(boxes)
    detector = model.detector if isinstance(model, TopDown) else model
    return TopDown(given, detector, meta.get("size_hw"), meta.get("margin", MARGIN))


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


def _document(samples: list[Sample], meta: Mapping[str, Any], skeleton: Array) -> dict[str, Any]:
    instances = [instance for sample in samples for instance in sample.instances]
    k = len(instances[0].xy) if instances else len(meta.get("landmarks", ()))
    names = tuple(meta.get("landmarks") or (f"point{i}" for i in range(k)))
    label = f"predictions of {meta.get('method') or 'a detector'}"
    found = Dataset(label, names, tuple(samples), skeleton, category=meta.get("category", "object"))
    document = coco_document(found)
    for annotation, instance in zip(document["annotations"], instances, strict=True):
        annotation["keypoint_scores"] = _rounded(instance.keypoint_scores)
        if instance.keypoint_visibility is not None:
            annotation["keypoint_visibility"] = _rounded(instance.keypoint_visibility)
        if instance.covariance is not None:
            annotation["keypoint_covariance"] = _rounded(instance.covariance)
        if instance.presence is not None:
            annotation["presence"] = round(instance.presence, 4)
    return document


def _rounded(values: Array | None) -> list[float]:
    return np.round(np.nan_to_num(np.asarray(values)), 4).astype(float).tolist()


def _draw(image: Array, instances: Iterable[Instance], skeleton: Array, path: Path) -> None:
    for instance in instances:
        whole = (instance.box_xywh == [0, 0, image.shape[1], image.shape[0]]).all()
        image = image if whole else draw_boxes(image, instance.box_xywh)
        image = draw_landmarks(image, instance.xy, skeleton=skeleton)
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise InputError(
            f"{path}: {image.shape[1]} x {image.shape[0]} px do not fit a JPEG; use --no-overlays"
        )
    write_atomic(path, data.tobytes())
