"""Do sound and text help?  Each sense alone, fused, shuffled in training, and broken when it is asked.

    python benchmarks/sounds_text.py -o docs/results/sounds_text.json

``command``: which of four commands is spoken (GRID, 23 films), each film left out in turn.  Every method is
given the same instant, where the sound begins; senses are sound, and the lips' points around that instant.
``lips``: the 20 points of the lips, clear, covered and blurred, films left out in folds.
``mouth``: whether the mouth is open, in covered pictures, films left out in folds.
``receipts``: corners of the fields of receipts, learned on train, judged on val.  Text enters as strings at
places rounded to a grid; neither exact boxes nor ``fields`` are an input, but for the control named so.

Settings were written down before the first run.  Then, before the run that is stored, frames, windows and
trees were cut for time, and the window of sound was moved after a look at where all films' commands begin.
The gate's cap was chosen on a fold of the training receipts.
A part that the file holds already is not computed again.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np
from sklearn.base import BaseEstimator, clone

from hybridkp.datasets import load_dataset
from hybridkp.datasets.splits import group_folds
from hybridkp.evaluate import classify, make_crops
from hybridkp.files import read_sound
from hybridkp.metrics import class_figures
from hybridkp.multimodal import broken
from hybridkp.recipes import make_classifier, make_method
from hybridkp.structures import SOUND_HZ, Array, Batch, Dataset, InputError

LIPS, EYES = slice(48, 68), (36, 45)
FRAMES, STEP_S = 10, 0.04  #: of the lips' points that a command is told from, and between two
WINDOW_S, SHIFTS_S = 0.4, (-0.06, 0.0, 0.06)  #: of sound, and how instants are moved
BEFORE_S = 0.15  #: of the window lies before the instant: a consonant is softer than its vowel
COVER = (0.60, 1.0, 0.19, 0.81)  #: of the crop: top, bottom, left, right of what hides the mouth
BLUR = 0.06  #: sigma, of the crop's side
OPEN = 0.06  #: of the eyes' distance between the inner lips
FOLDS = 6


class Altered(BaseEstimator):
    """A method whose sense is shuffled when it learns, or broken when it is asked."""

    def __init__(self, method: Any, sense: str = "", learns: str = "", asked: str = "", seed: int = 0):
        self.method, self.sense, self.learns, self.asked, self.seed = method, sense, learns, asked, seed

    def fit(self, batch: Any, y: Any, **facts: Any) -> Altered:
        self.method_ = clone(self.method).fit(self._other(batch, self.learns), y, **facts)
        return self

    def predict(self, batch: Any) -> Array:
        return self.method_.predict(self._other(batch, self.asked))

    def _other(self, batch: Any, how: str) -> Any:
        if not how:
            return batch
        rows, rng = batch[self.sense], np.random.default_rng(self.seed)
        if how == "shuffled":
            return batch.replace(**{self.sense: rows[rng.permutation(len(rows))]})
        if how == "another's":  # of another film or receipt
            return batch.replace(**{self.sense: batch[f"{self.sense}_other"]})
        if how == "zeros" or rows.dtype == object:
            return broken(batch, self.sense, how, self.seed)
        spread = np.nanstd(rows) or 1.0
        noise = rng.normal(0, 1, rows.shape) * spread + np.nanmean(rows)
        if rows.dtype == np.uint8:
            noise = np.clip(noise, 0, 255)
        return batch.replace(**{self.sense: noise.astype(rows.dtype)})


def altered(methods: Mapping[str, str], both: str, senses: Sequence[str], make: Any) -> dict[str, Any]:
    """Words -> method: those of ``methods``, and ``both`` with each sense shuffled or broken."""
    out = {words: Altered(make(text)) for words, text in methods.items()}
    for sense in senses:
        out[f"{both}, {sense} shuffled in training"] = Altered(make(methods[both]), sense, learns="shuffled")
        for how in ("zeros", "noise", "another's"):
            out[f"{both}, {sense} broken: {how}"] = Altered(make(methods[both]), sense, asked=how)
    return out


def with_others(batch: dict[str, Any], groups: Array, senses: Sequence[str]) -> Batch:
    """For each sense also the rows of an object of another group."""
    names = np.unique(groups)
    order = {name: names[(i + 1) % len(names)] for i, name in enumerate(names)}
    rows = np.array([np.flatnonzero(groups == order[g])[0] for g in groups])
    return Batch(batch | {f"{s}_other": batch[s][rows] for s in senses})


# --------------------------------------------------------------------------------------------
# films that are heard
# --------------------------------------------------------------------------------------------


def films(every: int, most: int | None) -> Dataset:
    found = load_dataset(sets.data_root() / "grid_av")
    names = sorted(set(found.groups.tolist()))[:most]
    rows = [i for i, g in enumerate(found.groups) if g in names]
    return found.subset(rows[::every])


def command(quick: bool) -> dict[str, Any]:
    data = films(1, 6 if quick else None)
    objects = [_spoken(data, film) for film in dict.fromkeys(data.groups.tolist())]
    flat = [row for rows in objects for row in rows]
    groups = np.array([row["film"] for row in flat])
    labels = np.array([row["command"] for row in flat])
    batch = {name: np.stack([row[name] for row in flat]) for name in ("sound", "lips")}
    batch = {"image": np.zeros((len(flat), 8, 8), np.uint8), **batch}
    methods = {
        "most frequent": "prior[inputs=sound]",
        "sound, SVM": "svm[inputs=sound]",
        "sound, SVM, varied copies": "svm[inputs=sound,copies=3]",
        "sound, forest": "forest[inputs=sound,n_estimators=100]",
        "lips, SVM": "svm[inputs=lips]",
        "lips, forest": "forest[inputs=lips,n_estimators=100]",
        "both early, SVM": "svm[inputs=lips:sound]",
        "both early, forest": "forest[inputs=lips:sound,n_estimators=100]",
        "both, average": "average(svm[inputs=lips],svm[inputs=sound])",
        "both, product": "product(svm[inputs=lips],svm[inputs=sound])",
        "both, gated": "gated(svm[inputs=lips],svm[inputs=sound])",
        "both, stacked": "stack(svm[inputs=lips],svm[inputs=sound])",
    }
    if quick:
        methods = {k: v for k, v in methods.items() if "forest" not in v and "stack" not in v}
    made = altered(methods, "both, product", ("lips", "sound"), make_classifier)
    rows = with_others(batch, groups, ("lips", "sound"))
    found = classify(made, rows, labels, groups, [str(i) for i in range(len(flat))], data="grid_av")
    out = {}
    for p in found:
        said = np.array(p.predicted)
        film = {g: Counter(said[groups == g].tolist()).most_common(1)[0][0] for g in np.unique(groups)}
        truth = {g: labels[groups == g][0] for g in film}
        figures = class_figures(list(truth.values()), list(film.values()), sorted(set(labels.tolist())))
        out[p.method] = {
            "text": methods.get(p.method, methods["both, product"]),
            "windows": [round(float(np.mean(said[groups == g] == truth[g])), 3) for g in film],
            "films": [int(film[g] == truth[g]) for g in film],
            "macro_f1": figures.macro_f1,
            "confusion": figures.confusion.tolist(),
        }
    return {
        "films": len(objects),
        "windows": len(SHIFTS_S),
        "classes": sorted(set(labels.tolist())),
        "methods": out,
    }


def _spoken(data: Dataset, film: str) -> list[dict[str, Any]]:
    """Windows around the instant at which a film's sound begins, each with its lips and its sound."""
    samples = [s for s in data if s.group == film]
    load: Any = samples[0].modalities["sound"]
    wave = read_sound(load.args[0])
    begin = begins(wave)
    times = np.array([s.time for s in samples])
    xy = np.stack([s.instances[0].xy for s in samples])
    out = []
    for shift in SHIFTS_S:
        middle = begin - BEFORE_S + WINDOW_S / 2 + shift
        first = max(0, round((middle - WINDOW_S / 2) * SOUND_HZ))
        part = wave[first : first + round(WINDOW_S * SOUND_HZ)]
        rows = [int(np.abs(times - (middle + STEP_S * (i - FRAMES / 2))).argmin()) for i in range(FRAMES)]
        out.append(
            {
                "film": film,
                "command": samples[0].modalities["text"]().split()[0],
                "sound": np.pad(part, (0, round(WINDOW_S * SOUND_HZ) - len(part))).astype(np.float32),
                "lips": np.concatenate([shape_of(xy[r]).ravel() for r in rows]).astype(np.float32),
            }
        )
    return out


def begins(wave: Array, hop_s: float = 0.01) -> float:
    """Seconds at which sound first stays louder than half way from the quiet to the loud, in dB."""
    hop = round(hop_s * SOUND_HZ)
    power = (wave[: len(wave) // hop * hop].reshape(-1, hop).astype(float) ** 2).mean(1)
    level = np.convolve(10 * np.log10(power + 1e-10), np.ones(5) / 5, "same")
    quiet, loud = np.percentile(level, [10, 95])
    over = level > quiet + 0.5 * (loud - quiet)
    run = np.convolve(over, np.ones(5), "valid") >= 5
    return float(np.argmax(run)) * hop_s


def shape_of(xy: Array) -> Array:
    """The lips (20, 2), about their mean, in distances of the outer eye corners."""
    lips = xy[LIPS]
    return (lips - lips.mean(0)) / np.linalg.norm(xy[EYES[0]] - xy[EYES[1]])


def hidden(pictures: Array, how: str) -> Array:
    """The same crops with the mouth covered, or everything blurred."""
    h, w = pictures.shape[1:3]
    out = pictures.copy()
    if how == "covered":
        top, bottom, left, right = (round(v * s) for v, s in zip(COVER, (h, h, w, w), strict=True))
        out[:, top:bottom, left:right] = 128
    elif how == "blurred":
        for picture in out:
            picture[:] = cv2.GaussianBlur(picture, (0, 0), BLUR * h)
    return out


def faces(quick: bool, every: int) -> Any:
    data = films(every, 6 if quick else None)
    return make_crops(data, (96, 96), 1.0, modalities=("image", "sound"))


def lips(quick: bool) -> dict[str, Any]:
    crops = faces(quick, 25 if quick else 6)
    eyes = np.linalg.norm(crops.xy[:, EYES[0]] - crops.xy[:, EYES[1]], axis=1)
    truth, folds = crops.xy[:, LIPS], 2 if quick else FOLDS
    methods = {
        "image": "rows[inputs=image]",
        "sound": "rows[inputs=sound]",
        "both early": "rows[inputs=image:sound]",
        "both, vote": "vote(rows[inputs=image],rows[inputs=sound])",
        "both, gate": "gate(rows[inputs=image],rows[inputs=sound],rows[inputs=image:sound])",
    }
    out: dict[str, Any] = {}
    for how in ("clear", "covered", "blurred"):
        batch = {"image": hidden(crops.images, how), "sound": crops.further["sound"]}
        rows = with_others(batch, crops.groups, ("sound", "image"))
        jobs = [(name, text, "") for name, text in methods.items() if how == "covered" or "gate" not in name]
        if how == "covered":
            jobs.append(("both early", methods["both early"], "shuffled"))
        for name, text, learns in jobs:
            asked = [("", "")]
            if how == "covered" and name in ("both early", "both, gate") and not learns:
                asked += [(s, w) for s in ("sound", "image") for w in ("zeros", "noise", "another's")]
            found = {way: np.empty(truth.shape) for way in asked}
            for train, test in group_folds(crops.groups, folds):
                model = Altered(make_method(text), "sound", learns)
                model.fit(rows[train], truth[train], groups=crops.groups[train])
                for way in asked:
                    model.sense, model.asked = way
                    found[way][test] = model.predict(rows[test])
            for (sense, way), xy in found.items():
                told = f"{name}, {sense} broken: {way}" if way else name
                told += ", sound shuffled in training" if learns else ""
                error = 100 * np.linalg.norm(xy - truth, axis=2).mean(1) / eyes
                out.setdefault(how, {})[told] = _by_group(error, crops.groups)
                print(how, told, round(float(error.mean()), 3), flush=True)
    gap = np.linalg.norm(crops.xy[:, 62] - crops.xy[:, 66], axis=1) / eyes
    return {
        "films": len(set(crops.groups.tolist())),
        "frames": len(crops),
        "gap": float(gap.std()),
        "errors": out,
    }


def _by_group(values: Array, groups: Array) -> list[float]:
    return [round(float(values[groups == g].mean()), 4) for g in np.unique(groups)]


def mouth(quick: bool) -> dict[str, Any]:
    crops = faces(quick, 25 if quick else 6)
    eyes = np.linalg.norm(crops.xy[:, EYES[0]] - crops.xy[:, EYES[1]], axis=1)
    gap = np.linalg.norm(crops.xy[:, 62] - crops.xy[:, 66], axis=1) / eyes
    labels = np.where(gap > OPEN, "open", "closed")
    methods = {
        "most frequent": "prior",
        "image": "svm[inputs=image]",
        "sound": "svm[inputs=sound]",
        "both early": "svm[inputs=image:sound]",
        "both early, forest": "forest[inputs=image:sound,n_estimators=100]",
        "both, average": "average(svm[inputs=image],svm[inputs=sound])",
        "both, stacked": "stack(svm[inputs=image],svm[inputs=sound])",
    }
    batch = {"image": hidden(crops.images, "covered"), "sound": crops.further["sound"]}
    rows = with_others(batch, crops.groups, ("image", "sound"))
    made = altered(methods, "both, average", ("image", "sound"), make_classifier)
    names = [str(i) for i in range(len(crops))]
    found = classify(made, rows, labels, crops.groups, names, folds=2 if quick else FOLDS, data="grid_av")
    out = {}
    for p in found:
        figures = class_figures(p.labels, p.predicted)
        out[p.method] = {
            "right": _by_group(figures.right.astype(float), crops.groups),
            "macro_f1": figures.macro_f1,
            "confusion": figures.confusion.tolist(),
        }
    return {"films": len(set(crops.groups.tolist())), "frames": len(crops), "methods": out}


# --------------------------------------------------------------------------------------------
# receipts
# --------------------------------------------------------------------------------------------


def receipts(quick: bool) -> dict[str, Any]:
    side, keep = (160, 24) if quick else (512, None)
    parts = []
    for split in ("train", "val"):
        data = load_dataset(sets.data_root() / "receipts", split)
        data = data.subset(range(len(data))[:keep])
        parts.append(make_crops(data, (side, side), 1.0, modalities=("image", "words")))
    train, val = parts
    methods = {
        "image": "hog+ridge",
        "text": "words[n_trees=60]",
        "both, early": "rows[inputs=image:words]",
        "both": "words[n_trees=60]:ink",
        "both, gate": "gate[cap=0.2](words[n_trees=60]:ink,words[n_trees=60],hog+ridge)",
        "control, exact boxes": "words[cells=0,n_trees=60]",
    }
    if quick:
        methods = {k: v for k, v in methods.items() if k in ("image", "text", "both")}
    senses = ("words", "image")
    rows = with_others({"image": val.images, "words": val.further["words"]}, val.groups, senses)
    out: dict[str, Any] = {}
    jobs = [(name, text, "") for name, text in methods.items()]
    for name, text, learns in [*jobs, ("both", methods["both"], "shuffled")]:
        start = time.process_time()
        model = Altered(make_method(text), "words", learns)
        model.fit(train.batch, train.xy, groups=train.groups)
        told = f"{name}, words shuffled in training" if learns else name
        out[told] = {"text": text, **_distances(model.predict(rows), val)}
        ways = [(s, w) for s in senses for w in ("zeros", "noise", "another's")]
        for sense, how in ways if name.startswith("both") and not learns else ():
            model.sense, model.asked = sense, how
            out[f"{name}, {sense} broken: {how}"] = {"text": text, **_distances(model.predict(rows), val)}
        seconds = round(time.process_time() - start)
        print(told, round(float(np.mean(out[told]["error"])), 1), seconds, "s", flush=True)
    groups = np.unique(val.groups, return_inverse=True)[1].tolist()
    return {"train": len(train), "val": len(val), "groups": groups, "crop": side, "methods": out}


def _distances(found: Array, val: Any) -> dict[str, Any]:
    """Each receipt's mean error in px of the picture, and its share of points within 10 px; none: 640 px."""
    off = np.linalg.norm(found - val.xy, axis=2) / val.matrix[:, :1, 0]
    off = np.where(np.isfinite(val.xy[..., 0]), np.nan_to_num(off, nan=640.0), np.nan)
    near = np.where(np.isnan(off), np.nan, off <= 10)
    return {
        "error": np.round(np.nanmean(off, axis=1), 2).tolist(),
        "within_10": np.round(np.nanmean(near, axis=1), 3).tolist(),
        "median": round(float(np.nanmedian(off)), 2),
    }


PARTS = {"command": command, "lips": lips, "mouth": mouth, "receipts": receipts}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--parts", type=sets.names_of, default=list(PARTS), help="default: all")
    parser.add_argument("-o", "--out", type=Path, help="JSON to add to")
    parser.add_argument("--quick", action="store_true", help="a few films, and spoken commands alone")
    args = parser.parse_args(arguments)
    if args.quick:
        args.parts = ["command"]
        if not (sets.data_root() / "grid_av").is_dir():
            print(f"no films in {sets.data_root()}: nothing to hear; HYBRIDKP_DATA says where they are")
            return
    document = sets.kept(args.out, {"parts": {}})
    for part in args.parts:
        if part not in PARTS:
            raise InputError(f"no part {part!r}: {', '.join(PARTS)}")
        if part not in document["parts"]:
            start = time.process_time()
            document["parts"][part] = PARTS[part](args.quick)
            document["parts"][part]["cpu_seconds"] = round(time.process_time() - start)
            sets.keep(args.out, document)
        print(part, document["parts"][part]["cpu_seconds"], "s of processor time")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
