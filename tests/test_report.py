"""The report: numbers equal the metrics', names are only text, and odd input still gives a page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_helpers import NAMES, answer, bare, check_page, make_data, rows_of, unlabel

from hybridkp import stats as statistics
from hybridkp.metrics import LANDMARK_METRICS
from hybridkp.metrics import landmarks as metrics
from hybridkp.report import plots, verdicts, write_report
from hybridkp.report.cells import Column, ranked_rows
from hybridkp.report.landmarks.disagreement import spots
from hybridkp.report.landmarks.scores import gather_truth, score_methods
from hybridkp.structures import InputError


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
    for name in ("trade_off_svg", "shares_svg", "history_svg"):
        monkeypatch.setattr(plots, name, lambda *a, **k: stub)
    monkeypatch.setattr(plots, "overview_png", lambda *a, **k: b"stub")


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
        unlabel(d, [0], range(12)),
        [answer(unlabel(d, [0], range(12)), m, 1.0) for m in ("a", "bb")],
    ),
    "an empty object": lambda d: (
        unlabel(d, range(5), [3]),
        [answer(unlabel(d, range(5), [3]), m, 1.0) for m in ("a", "bb")],
    ),
    "no areas, no boxes": lambda d: (bare(d), [answer(bare(d), m, 1.0) for m in ("a", "bb")]),
    "K = 1, pixels": lambda d: (make_data(6, 1, ("pixel",)), [answer(make_data(6, 1, ("pixel",)), "a", 1.0)]),
    "K = 1, box": lambda d: (
        make_data(6, 1, ("box",)),
        [answer(make_data(6, 1, ("box",)), m, 1.0) for m in "ab"],
    ),
}


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
    odd = unlabel(data, [0], [1, 4])
    report = write_report([answer(odd, "a", 1.0)], odd, tmp_path)
    assert report.rows[0].numbers["objects"] == 10
    assert any(n.startswith("2 objects of 12 left out") for n in report.notes)


@pytest.mark.usefixtures("plain_page")
def test_a_row_that_a_method_lacks_counts_as_silence(data, tmp_path):
    full, part = answer(data, "full", 1.0), rows_of(answer(data, "part", 1.0), slice(11))
    report = write_report([part, full], data, tmp_path)
    by_name = {r.method: r.numbers for r in report.rows}
    assert (by_name["part"]["missing_points"], by_name["full"]["missing_points"]) == (5, 0)
    assert report.rows[0].method == "full"
    assert any("concerns part" in n for n in report.notes)
    both = [rows_of(p, slice(11)) for p in (full, part)]
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
    mixed = rows_of(p, order)
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
    assert verdicts.opening(
        gather_truth(data, [answer(data, "good", 1.0)]).headline,
        report.columns[0],
        report.rows,
        report.comparisons,
        "object",
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


# --------------------------------------------------------------------------------------------
# why
# --------------------------------------------------------------------------------------------


def test_the_page_says_what_methods_are_and_where_its_parts_are(data, tmp_path, plain_page) -> None:
    predictions = [answer(data, "first", 1.0), answer(data, "second", 6.0)]
    kinds, abouts = {"first": "classical"}, {"first": "a <line> on it"}
    report = write_report(predictions, data, tmp_path, families=kinds, abouts=abouts)
    html = report.paths["html"].read_text(encoding="utf-8")
    check_page(report.paths["html"])
    assert report.rows[0].family == "classical" and "<dd>a &lt;line&gt; on it</dd>" in html
    assert (
        '<nav aria-label="contents">' in html
        and '<a href="#spots">The same, landmark by landmark</a>' in html
    )
    assert '<a href="results.csv">' in html and "p (Holm)</dt>" in html
    alone = write_report(predictions[:1], data, tmp_path / "alone").paths["html"].read_text(encoding="utf-8")
    assert "p (Holm)</dt>" not in alone and 'id="spots"' not in alone


def test_landmarks_on_which_methods_disagree(data) -> None:
    near, far = answer(data, "near", 0.5), answer(data, "far", 0.5)
    xy = far.xy.copy()
    xy[3, 2] += 5
    xy[5, 1] += 3
    truth = gather_truth(data, [near, replace(far, xy=xy)], None)
    scores = score_methods(truth, [near, replace(far, xy=xy)])
    first, second = spots(truth, scores, 2)
    assert (first.row, first.landmark) == (3, 2) and (second.row, second.landmark) == (5, 1)
    assert len({spot.row for spot in spots(truth, scores)}) == len(spots(truth, scores)), "each object once"
    assert spots(truth, scores[:1]) == [] and first.error.shape == (2,)


@pytest.mark.parametrize(("groups", "few"), [(6, True), (8, False)])
def test_too_few_groups_are_called_that(groups: int, few: bool) -> None:
    """Three pairs and six groups: the least p is 3 * 2 / 2**6, above 5 %."""
    values = [np.ones(groups), np.full(groups, 1.1), np.full(groups, 1.1)]
    values[1][0] = values[2][1] = 0.5
    pairs = statistics.compare_all(["a", "b", "c"], values, np.arange(groups))
    head = LANDMARK_METRICS[0]
    rows = ranked_rows(["a", "b", "c"], pairs, [{head.key: 1.0}] * 3)
    column = Column(head.key, head.title, head.unit, head.digits, "")
    words = verdicts.opening(head, column, rows, pairs, "object")
    assert ("6 groups are too few to tell." in words) == few and "cannot be told apart" in words


@pytest.mark.parametrize("groups", [5, 6])
def test_no_p_is_told_of_fewer_than_six_groups(groups: int) -> None:
    values = [np.ones(groups), np.full(groups, 1.1)]
    pairs = statistics.compare_all(["a", "b"], values, np.arange(groups))
    head = LANDMARK_METRICS[0]
    words = verdicts.pair_sentence(pairs[0], head)
    rows = ranked_rows(["a", "b"], pairs, [{head.key: 1.0}, {head.key: 1.1}])
    (row,) = verdicts.pairs_context(head, rows, pairs)["pairs"]
    assert ("no test of 5 groups" in words, "Holm p" in words) == (groups == 5, groups == 6)
    assert (row["p"], row["p_holm"]) == (("–", "–") if groups == 5 else ("0.031", "0.031"))


def test_long_lists_are_cut() -> None:
    assert verdicts.shortened(list("abcde")) == list("abcde")
    assert verdicts.shortened(list("abcdefg")) == ["a", "b", "c", "d", "3 others"]


@pytest.mark.usefixtures("plain_page")
def test_the_page_says_where_it_gets_hard_and_leads_to_the_models(tmp_path):
    data = make_data(12)
    samples = [
        replace(s, load=lambda i=i: np.full((100, 110, 3), 20 * i, np.uint8)) for i, s in enumerate(data)
    ]
    data = replace(data, samples=tuple(samples))
    steady, fading = answer(data, "steady", 1.0), answer(data, "fa:ding", 1.0)
    fading.xy[8:] += 30  # the brightest third
    out = tmp_path / "out"
    (out / "models").mkdir(parents=True)
    files = {"steady": out / "models" / "a b#0.hkp", "fa:ding": tmp_path / "elsewhere.hkp"}
    for path in files.values():
        path.write_bytes(b"")
    report = write_report([steady, fading], data, out, models=files, abouts={"steady": "s", "fa:ding": "f"})
    page = check_page(report.paths["html"])
    html = report.paths["html"].read_text(encoding="utf-8")
    assert [a for a in page.attributes if a[1] == "href" and "models" in a[2]] == [
        ("a", "href", "models/a%20b%230.hkp")
    ]
    assert re.search(r"from dark to bright: least: steady \(.{1,20}\); most: fa:ding \(\+", html)
    assert "Sharpness</h3>" not in html, "it does not vary"
    rows = list(csv.DictReader(io.StringIO(report.paths["conditions"].read_text())))
    bright = [row for row in rows if row["band"] == "bright" and row["method"] == "fa:ding"]
    nme = metrics.nme(
        np.stack([s.instances[0].xy for s in data]),
        fading.xy,
        metrics.normalizer_lengths(_xy(data), data.normalizer),
    )
    assert float(bright[0]["nme_percent"]) == pytest.approx(100 * nme[8:].mean(), rel=1e-9)


def _xy(data):
    return np.stack([s.instances[0].xy for s in data])
