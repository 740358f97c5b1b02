"""Small data, answers and a page reader for the report's tests."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from hybridkp.structures import Dataset, Instance, Predictions, Sample

BASE = np.array([[30.0, 40], [70, 40], [50, 60], [40, 80], [60, 80]])
NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def make_data(n=12, k=5, normalizer=("points", 0, 1), landmarks=NAMES, seed=0, **options):
    """Noise pictures with a moved shape each, two pictures a group."""
    random = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        xy = BASE[:k] + random.normal(0, 3, (k, 2)) + random.uniform(-8, 8, 2)
        image = random.integers(0, 255, (100, 110, 3), np.uint8)
        box = np.array([20.0, 25, 60, 60])
        instance = Instance(xy, box_xywh=box, area=options.get("area", 2500.0))
        samples.append(
            Sample(f"{i:03}.png", lambda image=image: image, (instance,), f"g{i // 2}", (100, 110))
        )
    return Dataset(
        "toy", landmarks[:k], tuple(samples), skeleton=[[0, 1]] if k > 1 else None, normalizer=normalizer
    )


def answer(data, method, noise, seed=0, **options):
    random = np.random.default_rng(seed + len(method))
    xy = np.stack([s.instances[0].xy for s in data])
    xy = np.nan_to_num(xy, nan=50.0) + random.normal(0, noise, xy.shape)
    facts = {
        "seconds": random.uniform(0.001, 0.002, len(xy)),
        "fit_seconds": 2.0,
        "model_bytes": 1_500_000,
        "peak_bytes": 300_000_000,
        "fingerprint": data.fingerprint,
        "split": "val",
        "seed": seed,
        "versions": {"numpy": "2.0"},
        "history": {"loss": [1.0, 0.5, 0.25], "validation_nme": [0.2, float("nan"), 0.1]},
    }
    names = tuple(s.name for s in data)
    return Predictions(
        method, xy, np.ones(xy.shape[:2]), names, np.zeros(len(xy), int), **{**facts, **options}
    )


def rows_of(p, rows):
    """The predictions' rows at ``rows``, an index array or slice."""
    at = np.arange(len(p.names))[rows]
    names = tuple(p.names[i] for i in at)
    return replace(
        p, names=names, xy=p.xy[at], score=p.score[at], instance=p.instance[at], seconds=p.seconds[at]
    )


def unlabel(data, landmarks, pictures):
    samples = list(data.samples)
    for i in pictures:
        xy = samples[i].instances[0].xy.copy()
        xy[list(landmarks)] = np.nan
        samples[i] = replace(samples[i], instances=(replace(samples[i].instances[0], xy=xy),))
    return replace(data, samples=tuple(samples))


def bare(data):
    samples = [replace(s, instances=(Instance(s.instances[0].xy),)) for s in data]
    return replace(data, samples=tuple(samples))


class Page(HTMLParser):
    """Text, tags and attributes of a page, and whether its tags close in order."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr", "wbr"})

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.attributes, self.open, self.wrong = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def check_page(path: Path) -> Page:
    """Well-formed, self-contained, small; no id twice; every picture described."""
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert not page.wrong and not page.open
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", html)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "data", "action"):
            inside = not {"..", ""} & set(value.split("/")) and ":" not in value
            beside = tag == "a" and inside and (path.parent / unquote(value)).is_file()
            assert beside or value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value)
            assert not value.startswith("#") or ("id", value[1:]) in [a[1:] for a in page.attributes]
        assert not name.startswith("on")
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    images = page.tags.count("img")
    assert (
        sum(tag == "img" and name == "alt" and bool(value) for tag, name, value in page.attributes) == images
    )
    assert page.tags.count("svg") == sum(n == "aria-label" and t == "svg" for t, n, _ in page.attributes)
    assert len(html) < 5_000_000
    return page
