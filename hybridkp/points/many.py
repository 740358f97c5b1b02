"""Features of a folder and matches of a list of pairs, in files that other programs go on from.

A matcher of one feature goes in; hloc's HDF5 and a COLMAP database come out.  Each picture is read and
described once, and what is done already is not done again.  Never here: the files' layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import colmap, hloc, needed_bits, read_image
from ..files.pictures import EXTENSIONS
from ..structures import Array, InputError
from ..structures.pairs import Features
from . import robust
from .local import picture
from .matchers import FeatureMatcher, find
from .matching import Matches, match
from .onnx import LightGlue, LightGlueMatcher

_INLIER_PX = 1.0  #: of the fundamental matrix


def pictures_of(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the pictures in a folder and those inside it, with "/" between, in order."""
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder of pictures")
    found = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not found:
        raise InputError(f"{root}: holds no pictures ({', '.join(EXTENSIONS)})")
    return found


def read_pairs(path: str | os.PathLike[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a text, two of ``names`` a line with a blank between; names may hold blanks themselves."""
    known, pairs = set(names), []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as text ({why})") from None
    for n, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        ways = [(line[:at].strip(), line[at:].strip()) for at, sign in enumerate(line) if sign.isspace()]
        words = next((list(way) for way in ways if known.issuperset(way)), words)  # names may hold blanks
        unknown = [word for word in words if word not in known]
        if len(words) != 2 or unknown or words[0] == words[1]:
            why = f"{unknown[0][:80]!r} is no picture of the folder" if unknown else "not two pictures' names"
            raise InputError(f"{path}: line {n}: {why}; write two names, as seen from the folder, a line")
        pairs.append((words[0], words[1]))
    if not pairs:
        raise InputError(f"{path}: holds no pairs")
    return list(dict.fromkeys(pairs))


def describe_pictures(
    matcher: Any,
    folder: str | os.PathLike[str],
    names: Sequence[str],
    out: str | os.PathLike[str],
    refused: dict[str, str] | None = None,
) -> Iterator[str]:
    """Write the features of each picture to ``out``, and yield its name; those that are there are kept.

    Points are in px of the rows as the file has them, whatever its EXIF orientation says: so hloc and COLMAP
    read pictures, and a camera turned on its side keeps its lens.  The names of pictures that cannot be read
    go into ``refused``, with what is wrong; without it the first one is an error.
    """
    feature, paths = _checked(matcher).feature, {name: Path(folder) / name for name in names}
    with hloc.entries(out, {"features": _described(feature), "upright": False}) as file:
        bits = needed_bits(paths.values(), str(folder))
        for name, path in paths.items():
            try:
                image = None if hloc.has(file, name) else read_image(path, bits, upright=False)
            except InputError as error:
                if refused is None or len(refused) == len(paths) - 1:  # not one can be read
                    raise
                refused[name], image = str(error), None
            if image is not None:
                hloc.write_features(file, name, find(feature, picture(image)))
            yield name


def match_pairs(
    matcher: Any,
    pairs: Sequence[tuple[str, str]],
    features: str | os.PathLike[str],
    out: str | os.PathLike[str],
) -> Iterator[tuple[str, str]]:
    """Match the stored features of each pair into ``out``, and yield the pair; what is there is kept."""
    settings = {"matches": _described(_checked(matcher))}
    with hloc.entries(features) as described, hloc.entries(out, settings) as file:
        for a, b in pairs:
            entry = hloc.pair_entry(a, b)
            if not hloc.has(file, entry):
                sides = hloc.read_features(described, a), hloc.read_features(described, b)
                found = _match(matcher, *sides)
                matches0 = np.full(len(sides[0].keypoints), -1, np.int32)
                scores0 = np.zeros(len(matches0), np.float32)
                matches0[found.index_a], scores0[found.index_a] = found.index_b, found.score
                hloc.write_entry(file, entry, matches0=matches0, matching_scores0=scores0)
            yield a, b


def colmap_database(
    pairs: Sequence[tuple[str, str]],
    features: str | os.PathLike[str],
    matches: str | os.PathLike[str],
    out: str | os.PathLike[str],
) -> None:
    """A COLMAP database of the pairs' pictures, their matches, and those that a fundamental matrix keeps."""
    names = sorted({name for pair in pairs for name in pair})
    with hloc.entries(features) as described, hloc.entries(matches) as file:
        found = {name: hloc.read_features(described, name) for name in names}

        def verified() -> Iterator[tuple[str, str, Array, Array, Array]]:
            for a, b in pairs:
                matches0 = np.asarray(file[hloc.pair_entry(a, b)]["matches0"], np.int64)
                rows = np.flatnonzero(matches0 >= 0)
                table = np.stack([rows, matches0[rows]], axis=1)
                xy_a, xy_b = (found[n].keypoints.xy[table[:, i]] for i, n in enumerate((a, b)))
                estimate = robust.estimate_fundamental(xy_a, xy_b, _INLIER_PX)
                yield a, b, table, estimate.inlier, estimate.matrix

        pictures = [(name, found[name].size_hw, found[name].keypoints.xy) for name in names]
        colmap.write_database(out, pictures, verified())


def _checked(matcher: Any) -> Any:
    if not isinstance(matcher, FeatureMatcher | LightGlueMatcher):
        raise InputError(
            "features of many pictures need a method of one feature, such as rootsift, net or"
            ' onnx[file="net.onnx"]: two-stage methods look at pairs'
        )
    return matcher


def _match(matcher: Any, a: Features, b: Features) -> Matches:
    if isinstance(matcher, LightGlueMatcher):
        return LightGlue(matcher.file, matcher.threshold).match(a, b)
    return match(a, b, matcher.feature.norm, matcher.rule, matcher.ratio)


def _described(value: Any) -> str:
    """Class and parameters as text, those inside too."""
    if not hasattr(value, "get_params"):
        return repr(value)
    params = value.get_params(deep=False)
    inner = ", ".join(f"{key}={_described(params[key])}" for key in sorted(params))
    return f"{type(value).__name__}({inner})"
