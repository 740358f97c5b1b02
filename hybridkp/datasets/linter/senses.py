"""The linter's look at what rides along with pictures: sound, text and words.

Each sound file is decoded once, however many pictures share it.  What is repaired, and by which rule, stands
in the finding; nothing is changed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from ...files import SoundFacts, sound_facts
from ...structures import SOUND_HZ, Dataset, InputError
from ..lookup import path_of, refusal_of
from .findings import Finding, finding

#: fault -> severity, effect, cure
_FAULTS = {
    "clipped": ("warning", "peaks are cut off: loud sounds all look alike", "record more softly"),
    "silent": (
        "warning",
        "its windows say nothing: their rows count as missing",
        "check the microphone, or leave audio_file out of these pictures",
    ),
    "not finite": ("warning", "such samples are read as 0, a click", "save the file again as FLAC"),
}
_MISSING = "what is missing says nothing: it becomes the training mean, and a member of that sense has no say"


def senses(dataset: Dataset, split: str) -> list[Finding]:
    """Everything suspicious about sound, text, words and times of a data set."""
    return [
        *_lacking(dataset, split),
        *_sounds(dataset, split),
        *_times(dataset, split),
        *_texts(dataset, split),
    ]


def _lacking(dataset: Dataset, split: str) -> list[Finding]:
    out = []
    for name in ("sound", "text", "words"):
        lacks = [f"{split}/{s.name}" for s in dataset if name not in s.modalities]
        if lacks and len(lacks) < len(dataset):
            message = f"{split}: {len(lacks)} of {len(dataset)} pictures have no {name}, others have"
            cure = f"add it, or compare on the pictures that have {name}"
            effect = f"a run that reads {name} stops there"
            out.append(finding("warning", f"no-{name}", message, effect, lacks, cure))
    return out


def _sounds(dataset: Dataset, split: str) -> list[Finding]:
    known: dict[str, SoundFacts] = {}
    refused: dict[str, str] = {}
    outside: list[str] = []
    for sample in dataset:
        load: Any = sample.modalities.get("sound")
        if load is None:
            continue
        path = path_of(load)
        if path is None or refusal_of(load):
            refused |= {f"{split}/{sample.name}": refusal_of(load)} if refusal_of(load) else {}
            continue
        if path in refused:
            continue
        if path not in known:
            try:
                known[path] = sound_facts(path)
            except InputError as error:
                refused[path] = str(error)
                continue
        if not 0 <= sample.time <= known[path].seconds:
            seconds = known[path].seconds
            outside.append(f"{split}/{sample.name} (at {sample.time:.2f} s of {seconds:.2f} s)")
    return [*_unreadable(refused, split), *_faults(known, split), *_outside(outside, split)]


def _unreadable(refused: Mapping[str, str], split: str) -> list[Finding]:
    if not refused:
        return []
    message = f"{split}: {len(refused)} sounds cannot be read"
    cure = "restore the files, give each picture its time, or remove their entries"
    return [
        finding("error", "unreadable-sound", message, "a run that hears stops there", refused.values(), cure)
    ]


def _faults(known: Mapping[str, SoundFacts], split: str) -> list[Finding]:
    out = []
    for fault, (severity, effect, cure) in _FAULTS.items():
        files = [path for path, facts in known.items() if fault in facts.faults]
        if files:
            message = f"{split}: {len(files)} of {len(known)} sound files are {fault}"
            out.append(finding(severity, f"{fault.replace(' ', '-')}-sound", message, effect, files, cure))
    rates = {path: facts.rate for path, facts in known.items() if facts.rate != SOUND_HZ}
    if rates:
        several = ", ".join(f"{rate} Hz" for rate in sorted(set(rates.values())))
        message = f"{split}: {len(rates)} of {len(known)} sound files are not at {SOUND_HZ} Hz ({several})"
        effect = "they are resampled when read; below that rate the upper bands stay empty"
        cure = "nothing, if all have one rate; else record or save them at one"
        severity = "note" if len({facts.rate for facts in known.values()}) == 1 else "warning"
        out.append(finding(severity, "other-rate", message, effect, rates, cure))
    return out


def _outside(outside: list[str], split: str) -> list[Finding]:
    if not outside:
        return []
    message = f"{split}: {len(outside)} pictures have a time outside their sound"
    effect = "beyond the end there is silence; half a window further, reading stops"
    return [
        finding("error", "time-outside", message, effect, outside, "give times in s from the file's start")
    ]


def _times(dataset: Dataset, split: str) -> list[Finding]:
    """Times of one film against the order of its pictures' names."""
    films: dict[str, list[tuple[list[Any], float, str]]] = {}
    for sample in dataset:
        if math.isfinite(sample.time):
            films.setdefault(sample.group, []).append((_natural(sample.name), sample.time, sample.name))
    wrong = []
    for rows in films.values():
        rows.sort(key=lambda row: row[0])
        wrong += [
            f"{split}/{b[2]} ({b[1]:.3f} s, after {a[1]:.3f} s)" for a, b in pairwise(rows) if b[1] <= a[1]
        ]
    if not wrong:
        return []
    message = f"{split}: {len(wrong)} times are not later than that of the picture before, by their names"
    effect = "a picture gets the sound of another moment"
    cure = "mend the times, or the names, if pictures are not numbered in time"
    return [finding("warning", "times-out-of-order", message, effect, wrong, cure)]


def _natural(name: str) -> list[Any]:
    """A key by which 10 comes after 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _texts(dataset: Dataset, split: str) -> list[Finding]:
    empty: dict[str, list[str]] = {"text": [], "words": []}
    outside = []
    for sample in dataset:
        for name, places in empty.items():
            load = sample.modalities.get(name)
            if not isinstance(load, partial):
                continue
            value = load()
            blank = not value.strip() if isinstance(value, str) else not any(w[4].strip() for w in value)
            places += [f"{split}/{sample.name}"] * blank
            if name == "words" and sample.size_hw is not None:
                h, w = sample.size_hw
                beyond = [
                    text
                    for x0, y0, x1, y1, text in value
                    if not (max(x0, 0) < x1 and x0 <= w and max(y0, 0) < y1 and y0 <= h)
                ]
                outside += [f"{split}/{sample.name} ({text[:40]!r})" for text in beyond[:1]]
    out = []
    for name, places in empty.items():
        if places:
            message = f"{split}: {len(places)} pictures have empty {name}"
            out.append(
                finding("warning", f"empty-{name}", message, _MISSING, places, "write it, or leave it out")
            )
    if outside:
        message = f"{split}: {len(outside)} pictures have words with a box of no size, or outside the picture"
        cure = "boxes are x0, y0, x1, y1 in px of the picture"
        out.append(
            finding("warning", "words-outside", message, "the words stand where nothing is", outside, cure)
        )
    return out
