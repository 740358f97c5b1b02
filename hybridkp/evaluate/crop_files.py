"""Crops of more objects than fit into memory: cut once, into files, a block of pictures at a time.

A data set's crops are one ``.npy`` file for each modality in a folder that is named by all that decides them.
While they are made, a small record says how far they are, so that a killed run goes on there; a finished
folder has its ``crops.json``, and is not read before.  Nothing is deleted but files that are made here.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import joblib
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ..datasets.lookup import file_stamp
from ..files import atomic_path, put_in_place, write_atomic
from ..files.lease import RUN, abandoned, work_in
from ..memory.budget import fits_in
from ..structures import Array, ArrayFile, Dataset, InputError, Sample, Stream

PICTURES = 256  #: in a block: that many are held, and at most lost by a kill
_COPIES = 4  #: of crops in memory: one by one, side by side, and what a method makes of them
HEADER = 256  #: bytes of a file before its rows
_DONE, _PROGRESS, _ROWS = "crops.json", "progress.json", "rows.npy"
#: names that are made here
_OURS = re.compile(r"(seen-[^/]+\.npy|rows\.npy)(\.part)?|crops\.json|progress\.json")
_FOLDER = re.compile(r"crops-[0-9a-f]{16}")
#: one object: where it is in the data, what was cut, and how
RECORD = np.dtype([("sample", "<i8"), ("instance", "<i8"), ("box", "<f8", 4), ("matrix", "<f8", (2, 3))])

#: a picture's objects: (instance, modality -> crop, matrix, box) each, and how many were left out and why
Cut = tuple[list[tuple[int, dict[str, Array], Array, Array]], tuple[int, ...]]


class Stored(NamedTuple):
    """A data set's crops on disk."""

    seen: dict[str, Stream]  #: modality -> (B, H, W, ...)
    records: Array  #: (B,) of :data:`RECORD`
    counts: list[int]  #: of what was left out


def too_large(dataset: Dataset, size_hw: tuple[int, int]) -> bool:
    """Whether the crops of a data set had better lie on disk."""
    n = sum(len(sample.instances) for sample in dataset)
    return not fits_in(n, _COPIES * 3 * size_hw[0] * size_hw[1])


def crops_folder(cache: Path, dataset: Dataset, modalities: Sequence[str], *facts: Any) -> Path | None:
    """Where these crops lie in ``cache``, by all that decides them.

    None where nobody can tell whether pixels are the same: a picture that is a function without a name.
    """
    digest = hashlib.sha256(repr((dataset.fingerprint, sorted(modalities), facts)).encode())
    try:
        for sample in dataset:
            loads = [sample.load, *(v for k, v in sorted(sample.modalities.items()) if k in modalities)]
            digest.update(" ".join(map(_stamp, loads)).encode() + b"\0")
    except (pickle.PicklingError, AttributeError, TypeError):  # what joblib says of what it cannot name
        return None
    return cache / f"crops-{digest.hexdigest()[:16]}"


def _stamp(load: Any) -> str:
    """What tells a picture from another without reading it."""
    return file_stamp(load) or str(joblib.hash(load))


def forget_crops(cache: Path, keep: Collection[str] = ()) -> None:
    """Remove crops that lie in ``cache``: files that are made here, and folders when nothing else is left.

    ``keep`` names folders that stay.
    """
    for folder in sorted(cache.glob("crops-*")) if cache.is_dir() else ():
        if folder.name in keep or folder.is_symlink() or not _FOLDER.fullmatch(folder.name):
            continue
        for path in folder.iterdir():
            ours = _OURS.fullmatch(path.name) or (path.name == RUN and abandoned(path))
            if ours and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def stored_crops(folder: Path, dataset: Dataset) -> Stored | None:
    """What lies there of a data set; None where it is not finished, or damaged."""
    try:
        facts = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        files = {name: ArrayFile(_seen(folder, name), digest) for name, digest in facts["digests"].items()}
        records = np.load(folder / _ROWS, allow_pickle=False)
        at = records["sample"]
        if records.dtype != RECORD or any(len(file) != len(records) for file in files.values()):
            return None
        if len(records) and not 0 <= at.min() <= at.max() < len(dataset):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # what is damaged is made again
        return None
    return Stored({name: Stream.of(file) for name, file in files.items()}, records, list(facts["counts"]))


def store_crops(folder: Path, dataset: Dataset, cut: Callable[[Sample], Cut], n_jobs: int) -> Stored:
    """What lies in ``folder``, made where it is not there; ``cut`` gives a picture's objects.

    Raises
    ------
    InputError
        When the disk is full, when another process makes the same, and whatever ``cut`` says.
    """
    found = stored_crops(folder, dataset)
    if found is not None:
        return found
    try:
        with work_in(folder):
            _fill(_Writer(folder), dataset, cut, n_jobs)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder}: crops cannot be written ({reason}): free space, then go on") from error
    found = stored_crops(folder, dataset)
    if found is None:
        raise InputError(f"{folder}: the crops that were just written cannot be read: is the disk well?")
    return found


def _fill(writer: _Writer, dataset: Dataset, cut: Callable[[Sample], Cut], n_jobs: int) -> None:
    n, first = len(dataset), writer.pictures
    bar = tqdm(total=n, initial=first, desc=f"crops of {dataset.name}", unit="picture", disable=None)
    with bar, Parallel(n_jobs=n_jobs, prefer="threads") as workers:
        for at in range(first, n, PICTURES):
            block = dataset.samples[at : at + PICTURES]
            writer.add([(i, *one) for i, one in enumerate(workers(delayed(cut)(s) for s in block), at)])
            bar.update(len(block))
    writer.finish()


class _Writer:
    """The files of a part while they grow; goes on where a killed one stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures, self.rows = 0, 0
        self.counts: Array = np.zeros(0, int)
        self.kinds: dict[str, tuple[str, tuple[int, ...]]] = {}  # modality -> dtype, shape of a crop
        self.records: list[Array] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _growing(self, name: str) -> Path:
        """The file of a modality, or with "" that of the records, until it is whole."""
        path = _seen(self.folder, name) if name else self.folder / _ROWS
        return path.with_name(f"{path.name}.part")

    def _resume(self) -> None:
        """Take up the last whole block; everything anew where its record, or what it tells of, is damaged."""
        try:
            facts = json.loads((self.folder / _PROGRESS).read_text(encoding="utf-8"))
            kinds = {k: (str(d), tuple(int(v) for v in s)) for k, (d, s) in facts["kinds"].items()}
            pictures, rows = int(facts["pictures"]), int(facts["rows"])
            counts = np.array(facts["counts"], int)
            sizes = {name: HEADER + rows * _row_bytes(*kind) for name, kind in kinds.items()}
            sizes[""] = rows * RECORD.itemsize
            if any(self._growing(name).stat().st_size < size for name, size in sizes.items()):
                return
            for name, size in sizes.items():
                os.truncate(self._growing(name), size)
            self.records = [np.fromfile(self._growing(""), RECORD)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self.pictures, self.rows, self.counts, self.kinds = pictures, rows, counts, kinds

    def add(self, block: Sequence[tuple[int, Any, tuple[int, ...]]]) -> None:
        """The objects of a block of pictures; on the disk when this ends."""
        rows = [(i, *row) for i, found, _ in block for row in found]
        if rows and not self.kinds:
            self.kinds = {k: (c.dtype.str, c.shape) for k, c in rows[0][2].items()}
        records = np.zeros(len(rows), RECORD)
        for record, (i, instance, _, matrix, box) in zip(records, rows, strict=True):
            record["sample"], record["instance"], record["box"], record["matrix"] = i, instance, box, matrix
        for name, (dtype, shape) in self.kinds.items():
            crops = [crops[name] for _, _, crops, _, _ in rows]
            if any(c.dtype.str != dtype or c.shape != shape for c in crops):
                raise InputError(
                    f"{self.folder}: {name} has several dtypes or sizes: give all pictures one kind"
                )
            with self._open(name) as file:
                if self.rows == 0:
                    file.write(_header(dtype, shape, 0))
                for crop in crops:
                    file.write(crop.tobytes())
                _to_disk(file)
        with self._open("") as file:
            file.write(records.tobytes())
            _to_disk(file)
        counts = np.array([counts for _, _, counts in block]).sum(0)
        self.counts = counts if not len(self.counts) else self.counts + counts
        self.records.append(records)
        self.rows += len(rows)
        self.pictures += len(block)
        facts = {
            "pictures": self.pictures,
            "rows": self.rows,
            "counts": self.counts.tolist(),
            "kinds": self.kinds,
        }
        write_atomic(self.folder / _PROGRESS, json.dumps(facts))

    def _open(self, name: str) -> IO[bytes]:
        return self._growing(name).open("ab" if self.rows else "wb")

    def finish(self) -> None:
        """Give the files their headers and names, and say that they are whole."""
        digests = {}
        for name, kind in self.kinds.items():
            with open(self._growing(name), "r+b") as file:
                file.write(_header(*kind, self.rows))
                _to_disk(file)
            digests[name] = ArrayFile(self._growing(name)).digest
        for name in self.kinds:
            put_in_place(self._growing(name), _seen(self.folder, name))
        records = np.concatenate(self.records) if self.records else np.zeros(0, RECORD)
        with atomic_path(self.folder / _ROWS) as temporary, open(temporary, "wb") as file:
            np.save(file, records, allow_pickle=False)
        facts = {"digests": digests, "counts": self.counts.tolist()}
        write_atomic(self.folder / _DONE, json.dumps(facts))
        for path in (self._growing(""), self.folder / _PROGRESS):
            path.unlink(missing_ok=True)


def _seen(folder: Path, name: str) -> Path:
    return folder / f"seen-{name}.npy"


def _header(dtype: str, shape: tuple[int, ...], n: int) -> bytes:
    """Of a ``.npy`` file of ``n`` rows; as long for any ``n``."""
    text = repr({"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (n, *shape)})
    return (
        b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"
    )


def _row_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
