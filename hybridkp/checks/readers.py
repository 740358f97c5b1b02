"""Public checks that every reader of annotated pictures must pass, third parties' too.

``for name, check in reader_checks(row, folder): check()`` raises AssertionError where a row of
:mod:`hybridkp.datasets.formats` loses a picture, an object or a point, moves one, or opens pictures too
early.  Nothing but a temporary folder is written to; the data at ``path`` are read, never changed.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..datasets import FORMATS, KEEPS, Format, Tally, load_dataset
from ..structures import (
    HIDDEN,
    NOT_LABELLED,
    VISIBLE,
    Array,
    Dataset,
    DataWarning,
    InputError,
    Instance,
    Sample,
)

EXACT_PX = 1e-6  #: how far a point may move between the file and the data set; half a pixel is a mistake
OPENED = 8  #: pictures of a split that are opened, evenly spread

Checks = Iterator[tuple[str, Callable[[], None]]]


def reader_checks(
    row: Format[Dataset],
    path: str | Path | None = None,
    *,
    expected: Tally | Mapping[str | None, Tally] | None = None,
    points: Mapping[str, ArrayLike] | None = None,
    **options: Any,
) -> Checks:
    """Named checks of one row of formats, each a function of no arguments.

    Parameters
    ----------
    row : the format
    path : data as their own tool wrote them, needing no repair; may be left out where the row can write
    expected : what ``path`` holds (a :class:`Tally`, or one for each split); else the row's own ``tally``
        counts it, which must not use the reader
    points : picture -> (N, K, 2) px of its objects, known from elsewhere; a picture goes by its name or
        by the last part of it
    options : the reader's

    Raises
    ------
    InputError
        Neither ``path`` nor ``row.write``, or nothing to count by: such checks could not fail.

    Notes
    -----
    A row that writes is also given a made data set with every thing that it says it keeps, on eighths of
    a pixel, and must bring it back within :data:`EXACT_PX`.

    >>> from hybridkp.datasets import FORMATS
    >>> for name, check in reader_checks(FORMATS[0]):
    ...     check()
    """
    if path is None and row.write is None:
        raise InputError(f"{row.name}: nothing to read: give path=, or the row a write=")
    if path is not None and expected is None and row.tally is None:
        raise InputError(f"{row.name}: nothing to count by: give expected=, or the row a tally=")
    yield "says what it is", partial(_says_what_it_is, row)
    yield "knows nothing of other things", partial(_knows_its_own, row)
    if path is not None:
        there = _There(row, path, options)
        yield "recognises its own", partial(_recognises, there)
        yield "no picture, object or point is lost", partial(_complete, there, expected)
        if points is not None:
            yield "points lie where they were put", partial(_points, there, dict(points))
        for name, check in READER_CHECKS.items():
            yield name, partial(check, there)
    if row.write is not None:
        yield "what is written comes back", partial(_round_trip, row, None)
        yield "what is written as a split comes back", partial(_round_trip, row, "val")
        yield "pictures are opened late", partial(_lazy, row)
        yield "damaged files are errors of one line", partial(_damaged, row)


class _There:
    """The data at a path through the one door, read once by all checks."""

    def __init__(self, row: Format[Dataset], path: str | Path, options: Mapping[str, Any]):
        self.row, self.path, self.options = row, path, options
        self.root = Path(path).expanduser()
        self._read: dict[str | None, Dataset] = {}

    @property
    def splits(self) -> tuple[str | None, ...]:
        return tuple(self.row.splits(self.root)) or (None,)

    def read(self, split: str | None) -> Dataset:
        if split not in self._read:
            self._read[split] = self.row.read(self.root, split, **self.options)
        return self._read[split]

    @property
    def samples(self) -> list[Sample]:
        return [sample for split in self.splits for sample in self.read(split)]


# --------------------------------------------------------------------------------------------
# the row
# --------------------------------------------------------------------------------------------


def _says_what_it_is(row: Format[Dataset]) -> None:
    assert row.name and row.words and "\n" not in row.words, "a name, and one line of words"
    assert [r.name for r in FORMATS].count(row.name) <= 1, f"two rows are called {row.name!r}"
    assert set(row.keeps) <= set(KEEPS), f"keeps: {set(row.keeps) - set(KEEPS)} is none of {KEEPS}"
    for name, words in row.options.items():
        assert name.isidentifier() and words and "\n" not in words, f"option {name!r}: one line of words"


def _knows_its_own(row: Format[Dataset]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        assert not row.recognises(root), "an empty folder is nobody's"
        for name, data in (("notes.txt", b"hello"), ("picture.png", bytes(99)), ("empty", b"")):
            (root / name).write_bytes(data)
            assert not row.recognises(root / name), f"{name} is no data"
        assert not row.recognises(root), "a folder of other things is not its own"


def _recognises(there: _There) -> None:
    sure = there.row.recognises(there.root)
    assert there.row.word == str(there.path) or 0 < sure <= 1, (
        f"recognises gives {sure}, wanted 0 < sure <= 1"
    )
    for other in FORMATS:
        if other.name != there.row.name and not there.row.word:
            assert other.recognises(there.root) < 1, f"{other.name} is sure that it is its own"


# --------------------------------------------------------------------------------------------
# data as they lie there
# --------------------------------------------------------------------------------------------


def _complete(there: _There, expected: Tally | Mapping[str | None, Tally] | None) -> None:
    for split in there.splits:
        if isinstance(expected, Tally):
            assert len(there.splits) == 1, "several splits: expected must be a mapping of them"
            wanted = expected
        elif expected is not None:
            wanted = expected[split]
        else:
            assert there.row.tally is not None
            wanted = there.row.tally(there.root, split, **there.options)
        data = there.read(split)
        objects = [i for s in data for i in s.instances]
        labelled = sum(int((i.visibility > NOT_LABELLED).sum()) for i in objects)
        for what, found, there_are in zip(
            Tally._fields, (len(data), len(objects), labelled), wanted, strict=True
        ):
            assert there_are is None or found == there_are, f"{split or 'all'}: {found} {what} of {there_are}"


def _points(there: _There, points: dict[str, ArrayLike]) -> None:
    samples = {}
    for sample in there.samples:
        samples[sample.name] = samples[Path(sample.name).name] = sample
    for name, wanted in points.items():
        assert name in samples, f"{name} is missing"
        found = [i.xy for i in samples[name].instances]
        np.testing.assert_allclose(found, np.asarray(wanted, float), atol=EXACT_PX, rtol=0, err_msg=name)


def _codes(there: _There) -> None:
    for sample in there.samples:
        assert sample.name and sample.group and isinstance(sample.group, str), "a name and a group each"
        for i in sample.instances:
            assert np.isin(i.visibility, (NOT_LABELLED, HIDDEN, VISIBLE)).all(), sample.name
            np.testing.assert_array_equal(np.isnan(i.xy).all(1), i.visibility == NOT_LABELLED)
            assert i.xy.shape == (len(there.read(there.splits[0]).landmarks), 2), "one number of landmarks"


def _stable(there: _There) -> None:
    for split in there.splits:
        first, again = there.read(split), there.row.read(there.root, split, **there.options)
        assert [s.name for s in first] == [s.name for s in again], "another order when read again"
        assert first.fingerprint == again.fingerprint, "another content when read again"


def _disjoint(there: _There) -> None:
    homes: dict[tuple[str, bytes], str | None] = {}
    for split in there.splits:
        for sample in there.read(split):
            key = sample.name, b"".join(i.xy.tobytes() for i in sample.instances)
            assert homes.setdefault(key, split) == split, f"{sample.name} is in {homes[key]} and in {split}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        if there.row in FORMATS:
            assert len(load_dataset(there.path, **there.options)) == len(there.samples), "whole = all splits"


def _opens(there: _There) -> None:
    for split in there.splits:
        data = there.read(split)
        for n in range(min(OPENED, len(data))):
            sample = data.samples[n * len(data) // min(OPENED, len(data))]
            ForkingPickler.dumps(sample)  # worker processes get it so
            image = sample.image
            assert image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (3,)), sample.name
            if sample.size_hw is not None:
                assert image.shape[:2] == tuple(sample.size_hw), (
                    f"{sample.name}: size_hw is not the picture's"
                )


READER_CHECKS: dict[str, Callable[[_There], None]] = {
    "NaN is what is not labelled, 0, 1, 2 are its states": _codes,
    "read again, the same": _stable,
    "splits have nothing in common": _disjoint,
    "pictures open, upright and as large as said": _opens,
}


# --------------------------------------------------------------------------------------------
# data that are made and written
# --------------------------------------------------------------------------------------------


def make_annotated(folder: Path, keeps: tuple[str, ...] = KEEPS, random_state: int = 0) -> Dataset:
    """Six pictures in ``folder/images`` with five landmarks and all that ``keeps`` names (see ``KEEPS``).

    No picture is square, no two are alike, ids have gaps; points lie on eighths of a pixel.
    """
    rng = np.random.default_rng(random_state)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    samples = []
    for n in range(6):
        h, w = 40 + 8 * n, 100 - 4 * n
        name = f"images/{n:02}.png"
        _, data = cv2.imencode(".png", rng.integers(0, 256, (h, w, 3), np.uint8))
        (folder / name).write_bytes(data.tobytes())
        instances = []
        for _ in range(1 + (n % 3 if "objects" in keeps else 0)):
            xy = rng.integers([8, 8], [8 * w - 16, 8 * h - 16], (5, 2)) / 8
            xy[:2] = [[1.125, 2.25], [w - 3.5, h - 2.875]]  # the box is never flat
            state = np.full(5, VISIBLE)
            if "hidden" in keeps:
                state[rng.permutation(3)[:1] + 2] = HIDDEN
            if "missing" in keeps:
                state[2 + n % 3] = NOT_LABELLED
            box = np.array([0.5, 1.25, w - 2.0, h - 3.0] if "boxes" in keeps else [np.nan] * 4)
            if "fractions" not in keeps:
                xy, box = np.round(xy), np.round(box)
            instances.append(Instance(xy, state, box, area=float(box[2] * box[3])))
        samples.append(
            Sample(
                name=name,
                load=partial(_decoded, str(folder / name)),
                instances=tuple(instances),
                group=f"group {n // 2}" if "groups" in keeps else name,
                size_hw=(h, w) if "sizes" in keeps else None,
                image_id=3 + 2 * n,
            )
        )
    return Dataset("made", ("nose", "left_ear", "right_ear", "tail", "paw"), tuple(samples), category="mouse")


def _decoded(path: str) -> Array:
    image: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image)


def _written(row: Format[Dataset], folder: Path, split: str | None) -> Dataset:
    made = make_annotated(folder, tuple(row.keeps))
    assert row.write is not None
    row.write(made, folder, split)
    return made


def _round_trip(row: Format[Dataset], split: str | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = _written(row, folder, split)
        assert row.recognises(folder) > 0, "does not recognise what it wrote"
        assert tuple(row.splits(folder)) == (() if split is None else (split,))
        data = row.read(folder, split)
        assert [Path(s.name).stem for s in data] == [Path(s.name).stem for s in made], (
            "pictures, in their order"
        )
        assert len(data.landmarks) == len(made.landmarks), "landmarks"
        assert "names" not in row.keeps or data.landmarks == made.landmarks, (
            "the landmarks' names, in their order"
        )
        for a, b in zip(made, data, strict=True):
            _same(a, b, row.keeps)


def _same(made: Sample, found: Sample, keeps: Any) -> None:
    name = made.name
    assert len(found.instances) == len(made.instances), f"{name}: {len(found.instances)} objects"
    for a, b in zip(made.instances, found.instances, strict=True):
        np.testing.assert_allclose(b.xy, a.xy, atol=EXACT_PX, rtol=0, err_msg=f"{name}: points")
        np.testing.assert_array_equal(b.visibility, a.visibility, err_msg=f"{name}: visibility")
        if "boxes" in keeps:
            np.testing.assert_allclose(b.box_xywh, a.box_xywh, atol=EXACT_PX, rtol=0, err_msg=f"{name}: box")
    if "groups" in keeps:
        assert found.group == made.group, f"{name}: group {found.group!r}"
    if "sizes" in keeps or found.size_hw is not None:
        assert found.size_hw == made.image.shape[:2], f"{name}: size {found.size_hw}"
    np.testing.assert_array_equal(found.image, made.image, err_msg=f"{name}: another picture")


def _lazy(row: Format[Dataset]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _written(row, folder, None)
        data = row.read(folder, None)
        for file in folder.rglob("*.png"):  # other pictures in their places, after the reading
            _, changed = cv2.imencode(".png", np.full((9, 9, 3), 7, np.uint8))
            file.write_bytes(changed.tobytes())
        for sample in data:
            ForkingPickler.dumps(sample)
            assert sample.image.shape == (9, 9, 3), (
                f"{sample.name} was opened before it was asked for, or kept"
            )


def _damaged(row: Format[Dataset]) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _written(row, folder, None)
        for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".png"):
            whole = file.read_bytes()
            flipped = bytearray(whole)
            flipped[len(whole) // 2] ^= 0x55
            damages = (b"", whole[: len(whole) // 2], rng.bytes(200), bytes(flipped), b"[" * 5000)
            for damage in damages:
                file.write_bytes(damage)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DataWarning)
                    try:
                        row.read(folder, None)
                    except InputError as error:
                        assert "\n" not in str(error) and len(str(error)) < 600, "one line"
            file.write_bytes(whole)
