"""The report: numbers equal the metrics', names are only text, and odd input still gives a page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hybridkp import statistics
from hybridkp.metrics import landmarks as metrics
from hybridkp.report import plots, shapes, tables, words, write_report
from hybridkp.report.labels import overlap_area, place_labels
from hybridkp.report.pictures import choose_cases, choose_disagreement
from hybridkp.report.scores import gather_truth, mean_shape, score_methods
from hybridkp.structures import Dataset, InputError, Instance, Predictions, Sample

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


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def predictions(data):
    return [answer(data, "coarse", 4.0), answer(data, "fine", 1.0), answer(data, "fine too", 1.02)]


@pytest.fixture(scope="module")
def report(data, predictions, tmp_path_factory):
    facts = {"command": "hybridkp bench <data>", "date": "2026-01-02"}
    return write_report(predictions, data, tmp_path_factory.mktemp("report"), provenance=facts)


@pytest.fixture
def plain_page(monkeypatch):
    """Stubs in place of matplotlib: most tests are not about curves, and curves take seconds."""
    stub = '<svg role="img" aria-label="stub"></svg>'
    for name in ("trade_off_svg", "ced_svg", "history_svg"):
        monkeypatch.setattr(plots, name, lambda *a, **k: stub)
    monkeypatch.setattr(plots, "overview_png", lambda *a, **k: b"stub")


class Page(HTMLParser):
    """Text, tags and attributes of a page, and whether its tags close in order."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

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
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value)
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


def test_the_page_is_whole_and_has_every_method(report, predictions):
    page = check_page(report.paths["html"])
    text = " ".join(page.text)
    for p in predictions:
        assert p.method in text
    assert "hybridkp bench <data>" in text and "2026-01-02" in text
    assert page.tags.count("script") == 1
    assert all(path.stat().st_size for path in report.paths.values())
    assert set(os.listdir(report.paths["html"].parent)) == {p.name for p in report.paths.values()}
    assert report.paths["overview"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_tables_numbers_are_the_metrics(report, data, predictions):
    truth = np.stack([s.instances[0].xy for s in data])
    lengths = metrics.normalizer_lengths(truth, data.normalizer)
    assert [r.method for r in report.rows][-1] == "coarse"
    for p in predictions:
        row = next(r for r in report.rows if r.method == p.method)
        nme = metrics.nme(truth, p.xy, lengths)
        interval = statistics.bootstrap_interval(nme, data.groups)
        expected = {
            "nme_percent": 100 * nme.mean(),
            "low": 100 * interval.low,
            "high": 100 * interval.high,
            "median_percent": 100 * np.median(nme),
            "failure_8_percent": 100 * metrics.failure_rate(nme, 0.08),
            "auc_8_percent": 100 * metrics.auc(nme, 0.08),
            "ms": 1000 * np.median(p.seconds),
            "model_mb": 1.5,
            "peak_mb": 300,
            "fit_s": 2,
            "objects": 12,
            "groups": 6,
        }
        for key, value in expected.items():
            assert row.numbers[key] == pytest.approx(value, rel=1e-9), key


def test_comparisons_are_the_statistics(report, data, predictions):
    truth = np.stack([s.instances[0].xy for s in data])
    lengths = metrics.normalizer_lengths(truth, data.normalizer)
    by_name = {p.method: 100 * metrics.nme(truth, p.xy, lengths) for p in predictions}
    names = [r.method for r in report.rows]
    expected = statistics.compare_all(names, [by_name[n] for n in names], data.groups)
    assert report.comparisons == expected
    assert {r.method: r.letters for r in report.rows} == statistics.letter_display(names, expected)


def test_files_hold_the_same_numbers(report, data):
    rows = list(csv.DictReader(io.StringIO(report.paths["csv"].read_text())))
    stored = json.loads(report.paths["json"].read_text())
    pairs = list(csv.DictReader(io.StringIO(report.paths["pairs"].read_text())))
    assert len(rows) == len(stored["methods"]) == len(pairs) == 3
    for row, line, entry in zip(report.rows, rows, stored["methods"], strict=True):
        assert line["method"] == entry["method"] == row.method
        assert float(line["nme_percent"]) == entry["nme_percent"] == row.numbers["nme_percent"]
        assert len(entry["landmark_errors"]) == 5
    assert stored["about"]["fingerprint"] == data.fingerprint
    markdown = report.paths["markdown"].read_text()
    assert report.to_markdown().strip() in markdown
    bars = {line.count("|") for line in markdown.splitlines() if line.startswith("|")}
    assert len(bars) == 1


def test_names_are_only_text(data, tmp_path):
    wild = ['<script>alert("1")</script>', "a|b & $x$ *y* \\", "=1+1", "ünï–cöde ➜ 漢字", "-->", "</svg><b>"]
    report = write_report([answer(data, name, 1.0 + i) for i, name in enumerate(wild)], data, tmp_path)
    page = check_page(report.paths["html"])
    assert page.tags.count("script") == 1 and "b" not in page.tags[: page.tags.index("main")]
    text = "".join(page.text)
    for name in wild:
        assert name in text
    bars = {
        len(re.findall(r"(?<!\\)\|", line)) for line in report.to_markdown().splitlines() if line[:1] == "|"
    }
    assert len(bars) == 1 and "<script>" not in report.to_markdown()
    assert "\n3,'=1+1," in report.paths["csv"].read_text()


@pytest.mark.usefixtures("plain_page")
def test_a_hostile_title_picture_and_landmark(tmp_path):
    data = make_data(3, landmarks=("<i>0", "1", "2", "3", "4"))
    first = replace(data.samples[0], name='"><img src=x onerror=alert(1)>')
    data = replace(data, samples=(first, *data.samples[1:]), name="<u>")
    report = write_report([answer(data, "m", 9.0)], data, tmp_path, provenance={"<k>": "<v>"})
    page = check_page(report.paths["html"])
    assert not {"i", "u", "k", "v"} & set(page.tags)


ODD = {
    "one method": lambda d: (d, [answer(d, "only", 1.0)]),
    "one picture": lambda d: (d.subset([0]), [answer(d.subset([0]), m, 1.0) for m in ("a", "bb")]),
    "two pictures, one group": lambda d: (d.subset([0, 1]), [answer(d.subset([0, 1]), m, 1.0) for m in "ab"]),
    "no answer at all": lambda d: (
        d,
        [answer(d, "good", 1.0), replace(answer(d, "none", 1), xy=np.full((12, 5, 2), np.nan))],
    ),
    "nothing timed": lambda d: (
        d,
        [
            answer(d, m, 1.0, seconds=np.full(12, np.nan), fit_seconds=np.nan, model_bytes=-1, peak_bytes=-1)
            for m in ("a", "bb")
        ],
    ),
    "no history": lambda d: (d, [answer(d, m, 1.0, history={}) for m in ("a", "bb")]),
    "empty and NaN history": lambda d: (
        d,
        [
            answer(d, "a", 1.0, history={"loss": [], "x": [np.nan]}),
            answer(d, "bb", 1.0, history={"x": [-1.0, np.inf]}),
        ],
    ),
    "equal answers": lambda d: (d, [answer(d, m, 1.0, seed=0) for m in ("aa", "bb")]),
    "perfect": lambda d: (d, [answer(d, "a", 0.0), answer(d, "bb", 1.0)]),
    "far away": lambda d: (d, [answer(d, "a", 1e7), answer(d, "bb", 1.0)]),
    "normaliser not labelled": lambda d: (
        _unlabel(d, [0], range(12)),
        [answer(_unlabel(d, [0], range(12)), m, 1.0) for m in ("a", "bb")],
    ),
    "an empty object": lambda d: (
        _unlabel(d, range(5), [3]),
        [answer(_unlabel(d, range(5), [3]), m, 1.0) for m in ("a", "bb")],
    ),
    "no areas, no boxes": lambda d: (_bare(d), [answer(_bare(d), m, 1.0) for m in ("a", "bb")]),
    "K = 1, pixels": lambda d: (make_data(6, 1, ("pixel",)), [answer(make_data(6, 1, ("pixel",)), "a", 1.0)]),
    "K = 1, box": lambda d: (
        make_data(6, 1, ("box",)),
        [answer(make_data(6, 1, ("box",)), m, 1.0) for m in "ab"],
    ),
}


def _unlabel(data, landmarks, pictures):
    samples = list(data.samples)
    for i in pictures:
        xy = samples[i].instances[0].xy.copy()
        xy[list(landmarks)] = np.nan
        samples[i] = replace(samples[i], instances=(replace(samples[i].instances[0], xy=xy),))
    return replace(data, samples=tuple(samples))


def _bare(data):
    bare = [replace(s, instances=(Instance(s.instances[0].xy),)) for s in data]
    return replace(data, samples=tuple(bare))


PLOTTED = ("no answer at all", "empty and NaN history")


@pytest.mark.parametrize("case", ODD)
def test_odd_input_still_gives_a_page(case, data, tmp_path, request):
    if case not in PLOTTED:
        request.getfixturevalue("plain_page")
    odd, predictions = ODD[case](data)
    report = write_report(predictions, odd, tmp_path)
    page = check_page(report.paths["html"])
    assert len(report.rows) == len(predictions)
    shown = " ".join(page.text).partition("for (const table")[0]
    assert not re.search(r"\b(nan|inf)\b", shown, re.I)
    json.loads(report.paths["json"].read_text(), parse_constant=lambda c: pytest.fail(c))


@pytest.mark.usefixtures("plain_page")
def test_left_out_objects_are_counted(data, tmp_path):
    odd = _unlabel(data, [0], [1, 4])
    report = write_report([answer(odd, "a", 1.0)], odd, tmp_path)
    assert report.rows[0].numbers["objects"] == 10
    assert any(n.startswith("2 objects of 12 left out") for n in report.notes)


@pytest.mark.usefixtures("plain_page")
def test_a_row_that_a_method_lacks_counts_as_silence(data, tmp_path):
    full, part = answer(data, "full", 1.0), answer(data, "part", 1.0)
    part = replace(
        part,
        names=part.names[:11],
        xy=part.xy[:11],
        score=part.score[:11],
        instance=part.instance[:11],
        seconds=part.seconds[:11],
    )
    report = write_report([part, full], data, tmp_path)
    by_name = {r.method: r.numbers for r in report.rows}
    assert (by_name["part"]["missing_points"], by_name["full"]["missing_points"]) == (5, 0)
    assert report.rows[0].method == "full"
    assert any("concerns part" in n for n in report.notes)
    both = [
        replace(
            p,
            names=p.names[:11],
            xy=p.xy[:11],
            score=p.score[:11],
            instance=p.instance[:11],
            seconds=p.seconds[:11],
        )
        for p in (full, part)
    ]
    notes = write_report(both, data, tmp_path).notes
    assert any(n.startswith("1 object of the data set had no prediction") for n in notes)


@pytest.mark.usefixtures("plain_page")
def test_seeds_are_averaged_object_by_object(data, tmp_path):
    runs = [answer(data, "m", 2.0, seed=s) for s in (0, 1, 2)]
    row = write_report([*runs, runs[0]], data, tmp_path).rows[0].numbers
    truth = np.stack([s.instances[0].xy for s in data])
    lengths = metrics.normalizer_lengths(truth, data.normalizer)
    means = [100 * metrics.nme(truth, r.xy, lengths).mean() for r in runs]
    assert row["nme_percent"] == pytest.approx(np.mean(means))
    assert row["seed_sd"] == pytest.approx(np.std(means, ddof=1))
    assert row["seeds"] == 3


@pytest.mark.usefixtures("plain_page")
def test_rows_may_come_in_any_order(data, tmp_path):
    p = answer(data, "m", 2.0)
    order = np.random.default_rng(0).permutation(12)
    mixed = replace(
        p,
        names=tuple(p.names[i] for i in order),
        xy=p.xy[order],
        score=p.score[order],
        instance=p.instance[order],
        seconds=p.seconds[order],
    )
    a, b = (write_report([x], data, tmp_path).rows[0].numbers for x in (p, mixed))
    assert a == b


@pytest.mark.usefixtures("plain_page")
def test_two_pictures_of_one_name_stay_apart(data, tmp_path):
    twins = replace(
        data, samples=(data.samples[0], replace(data.samples[1], name="000.png"), *data.samples[2:])
    )
    report = write_report([answer(twins, "m", 0.0)], twins, tmp_path)
    assert report.rows[0].numbers["nme_percent"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "words_"),
    [
        (lambda d, p: [], "no predictions"),
        (lambda d, p: [replace(p, names=("x.png", *p.names[1:]))], "x.png is not in toy"),
        (lambda d, p: [replace(p, names=(p.names[0], *p.names[:-1]))], "is not in toy"),
        (lambda d, p: [replace(p, instance=p.instance + 1)], "object 1 of picture 000.png"),
        (lambda d, p: [replace(p, xy=p.xy[:, :4], score=p.score[:, :4])], "K = 4"),
        (lambda d, p: [replace(p, fingerprint="0" * 16)], "annotations changed"),
        (lambda d, p: [p, replace(p, xy=p.xy + 1)], "two different predictions"),
    ],
    ids=["none", "foreign", "doubled", "instance", "K", "fingerprint", "twice"],
)
def test_wrong_predictions_are_named(change, words_, data, tmp_path):
    with pytest.raises(InputError, match=re.escape(words_)):
        write_report(change(data, answer(data, "m", 1.0)), data, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("plain_page")
def test_wrong_options_are_named(data, tmp_path):
    p = answer(data, "m", 1.0)
    with pytest.raises(InputError, match="normalizer"):
        write_report([p], data, tmp_path, normalizer=("points", 0, 99))
    with pytest.raises(InputError, match="level"):
        write_report([p], data, tmp_path, level=95)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report([p], data, tmp_path / "file")


@pytest.mark.usefixtures("plain_page")
def test_a_lost_picture_costs_only_its_picture(data, tmp_path):
    def gone():
        raise InputError("000.png: no such file")

    lost = replace(data, samples=(replace(data.samples[0], load=gone), *data.samples[1:]))
    report = write_report([answer(lost, m, 1.0) for m in ("a", "bb")], lost, tmp_path)
    check_page(report.paths["html"])


@pytest.mark.parametrize(
    ("normalizer", "landmarks", "keys"),
    [
        (("pixel",), NAMES, {"error_px", "median_px", "pck_5px_percent", "pck_10px_percent"}),
        (("box",), NAMES, {"nme_percent", "failure_8_percent"}),
        (
            ("points", 0, 1),
            ("left_shoulder", "right_hip", "c", "d", "e"),
            {"pck_0.2_percent", "pck_0.2_points_percent", "pck_0.1_percent"},
        ),
    ],
)
@pytest.mark.usefixtures("plain_page")
def test_the_headline_follows_the_normaliser(normalizer, landmarks, keys, tmp_path):
    data = make_data(normalizer=normalizer, landmarks=landmarks)
    report = write_report([answer(data, "poor", 6.0), answer(data, "good", 1.0)], data, tmp_path)
    check_page(report.paths["html"])
    assert keys <= set(report.rows[0].numbers)
    assert report.rows[0].method == "good"
    assert words.opening(
        gather_truth(data, [answer(data, "good", 1.0)]), report.rows, report.comparisons, 0.95
    ).startswith("good has the")


@pytest.mark.usefixtures("plain_page")
def test_pck_is_the_metric(tmp_path):
    data = make_data(landmarks=("left_shoulder", "right_hip", "c", "d", "e"))
    p = answer(data, "m", 4.0)
    row = write_report([p], data, tmp_path).rows[0].numbers
    truth = np.stack([s.instances[0].xy for s in data])
    lengths = metrics.normalizer_lengths(truth, data.normalizer)
    assert row["pck_0.2_points_percent"] == pytest.approx(100 * metrics.pck(truth, p.xy, lengths, 0.2)[0])
    assert row["pck_0.2_percent"] == pytest.approx(100 * metrics.object_pck(truth, p.xy, lengths, 0.2).mean())


def test_cases_and_disagreement(data):
    runs = [answer(data, "a", 2.0), answer(data, "bb", 3.0)]
    runs[0] = replace(runs[0], xy=np.concatenate([runs[0].xy[:7], runs[0].xy[7:8] + 30, runs[0].xy[8:]]))
    truth = gather_truth(data, runs)
    scores = score_methods(truth, runs)
    a = next(s for s in scores if s.method == "a")
    cases = choose_cases(a)
    assert cases["worst"] == 7 and cases["best"] == a.errors[0].argmin()
    assert choose_disagreement(truth, scores)[0] == 7
    assert len({truth.groups[r] for r in choose_disagreement(truth, scores)}) == 4


def test_the_mean_shape_is_the_shape():
    data = make_data(40)
    truth = gather_truth(data, [answer(data, "m", 1.0)])
    shape = mean_shape(truth)
    expected = (BASE - BASE.mean(0)) / 40
    np.testing.assert_allclose(shape, expected, atol=0.03)
    assert np.isnan(
        mean_shape(
            gather_truth(_unlabel(data, [0], range(40)), [answer(_unlabel(data, [0], range(40)), "m", 1)])
        )
    ).all()


def test_circles_have_the_errors_radius():
    svg = shapes.mean_shape_svg(
        np.array([[0.0, 0], [1, 0]]),
        np.array([0.1, 0.05]),
        0.1,
        skeleton=[[0, 1]],
        names=["<a>", "b"],
        unit="%",
        label="x",
    )
    radii = dict(re.findall(r'r="([\d.]+)" fill="(#\w+)"', svg))
    assert list(radii) == ["16.0", "8.0"] and radii["16.0"] == shapes.STOPS[-1]
    assert "&lt;a&gt;: 10.00 %" in svg
    assert shapes.color_of(0) == shapes.STOPS[0]


@pytest.mark.parametrize("n", [0, 1, 2, 13, 20])
def test_labels_keep_clear(n):
    random = np.random.default_rng(n)
    points = np.stack([random.uniform(150, 500, n), random.uniform(60, 300, n)], 1)
    sizes = np.stack([random.uniform(40, 110, n), np.full(n, 11.0)], 1)
    frame = np.array([0, 0, 640, 360.0])
    boxes = place_labels(points, sizes, frame)
    assert boxes.shape == (n, 4)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
    shared = overlap_area(boxes, boxes)
    np.fill_diagonal(shared, 0)
    assert shared.sum() == 0
    assert overlap_area(boxes, np.concatenate([points - 4, points + 4], 1)).sum() == 0
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= frame[2:]).all()
    np.testing.assert_array_equal(boxes, place_labels(points, sizes, frame))


def test_labels_of_one_spot_part():
    boxes = place_labels([[50, 50]] * 4, [[30, 10]] * 4, [0, 0, 200, 200])
    shared = overlap_area(boxes, boxes)
    np.fill_diagonal(shared, 0)
    assert shared.sum() == 0


def test_the_pareto_front():
    points = [
        plots.Point(str(i), ms, v, v, v) for i, (ms, v) in enumerate([(1, 9), (2, 5), (3, 6), (4, 4), (4, 5)])
    ]
    assert plots.pareto(points) == [0, 1, 3]
    assert plots.pareto(points, lower_is_better=False) == [0]
    assert plots.pinned(points) is None
    assert plots.pinned([plots.Point("z", 0.01, 1, 1, 1), *points]) == 0


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.234, 2, "1.23"), (-0.5, 1, "−0.5"), (-0.001, 2, "0.00"), (float("nan"), 2, "–"), (np.inf, 0, "–"),
        (13.94, -3, "13.9"), (0.00979, -3, "0.00979"), (280.0, -3, "280"), (1234.5, -3, "1234"),
        (0.0, -3, "0"),
    ],
)  # fmt: skip
def test_numbers_for_people(value, digits, text):
    assert tables.number(value, digits) == text


def test_p_values_are_never_zero():
    assert [tables.p_value(p) for p in (0.0001, 0.0123, 0.5, float("nan"))] == [
        "< 0.001",
        "0.012",
        "0.50",
        "–",
    ]


def test_plots_of_odd_numbers():
    """Everything equal, one method, thirteen orders of magnitude, higher is better, nothing timed."""
    options = {"y_label": "NME, %", "name": "p", "width": 3.6, "height": 3.0}
    cases = [
        [(1.0, 5.0, 4.0, 6.0)],
        [(1.0, 5.0, np.nan, np.nan)] * 3,
        [(1e-3, 0.0, 0.0, 0.0), (1.0, 1e9, 1e8, 1e10), (1e4, 5.0, 4, 6)],
    ]
    for rows in cases:
        svg = plots.trade_off_svg([plots.Point("m", *r) for r in rows], lower_is_better=True, **options)
        assert svg.startswith("<svg role=") and svg.rstrip().endswith("</svg>")
    assert plots.trade_off_svg([plots.Point("m", 1, 90, 80, 95)], lower_is_better=False, **options)
    assert not plots.trade_off_svg([plots.Point("m", np.nan, 9, 8, 9)], lower_is_better=True, **options)
    assert not plots.ced_svg({}, x_label="x", name="c", width=3, height=3)


@pytest.mark.data
@pytest.mark.usefixtures("plain_page")
def test_real_faces(tmp_path):
    root = Path(os.environ.get("HYBRIDKP_DATA", Path(__file__).parents[2] / "shared" / "data")) / "faces68"
    if not root.is_dir():
        pytest.skip(f"real data not found at {root}: set HYBRIDKP_DATA")
    from hybridkp.datasets import load_dataset

    data = load_dataset(root, split="val").subset(range(24))
    names = [f"method-{i}(with, a long name)" for i in range(13)]
    report = write_report([answer(data, name, 2 + i) for i, name in enumerate(names)], data, tmp_path)
    check_page(report.paths["html"])
    assert {r.method for r in report.rows} == set(names)
