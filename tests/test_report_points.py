"""The points' report: numbers equal the metrics of the stored matches, colours follow the truth."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from report_helpers import check_page

from hybridkp import metrics as allmetrics
from hybridkp import stats as statistics
from hybridkp.files.matched import MatchedSet, no_result
from hybridkp.imaging.draw import RIGHT_COLOR, WRONG_COLOR
from hybridkp.metrics import homographies
from hybridkp.metrics import points as metrics
from hybridkp.report import plots, write_points_report
from hybridkp.report.points import pictures as point_pictures
from hybridkp.report.points import words as point_words
from hybridkp.report.points.scores import CURVE_PX, gather_truth, main_budget, score_points
from hybridkp.structures import InputError, Keypoints
from hybridkp.structures.pairs import Matched, Pair, PairSet

SIZE = (120, 160)
FAMILIES = {"sift": "classical", "orb": "classical", "net": "deep", "both": "hybrid"}


def make_pairs(n=12, flow=False, name="toy"):
    """Noise pictures, two pairs a sequence; every other one shifted, every other one tilted."""
    random = np.random.default_rng(3)
    pairs = []
    for i in range(n):
        images = random.integers(0, 255, (2, *SIZE), np.uint8)
        h = np.array([[1, 0.02 * (i % 2), 5 - i], [0, 1, i], [1e-4 * (i % 3), 0, 1]])
        loads = [lambda image=image: image for image in images]
        truth = {"homography": h}
        if flow and i == n - 1:
            grid = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), 2).astype(float)
            grid[:, 80:] = np.nan
            truth = {"flow": lambda grid=grid: grid}
        change = ("light", "viewpoint", "zoom+rotation")[i // 2 % 3]
        pairs.append(
            Pair(
                f"s{i // 2}/1-{i % 2 + 2}",
                f"s{i // 2}",
                *loads,
                **truth,
                change=change,
                rotated="rot" in change,
            )
        )
    return PairSet(name, tuple(pairs), "own work")


def answer(pair, noise, random, n=40, wrong=8):
    """n points, of which all but ``wrong`` follow the truth but for noise; a homography that is a bit off."""
    xy_a = random.uniform(10, 75, (n, 2))
    truth = pair.homography if pair.homography is not None else np.eye(3)
    xy_b = metrics.transfer(xy_a, truth) + random.normal(0, noise, (n, 2))
    xy_b[:wrong] += random.uniform(15, 30, (wrong, 2))
    found = truth.copy()
    found[:2, 2] += random.normal(0, noise, 2)
    keypoints = Keypoints(xy_a.astype(np.float32)), Keypoints(xy_b.astype(np.float32))
    seconds = {"detect": 0.002, "describe": 0.004 + noise / 1000, "match": 0.003, "estimate": 0.001}
    inlier = np.arange(n) >= wrong // 2
    return Matched(*keypoints, xy_a, xy_b, np.linspace(1, 0, n), found, inlier, seconds)


def matched(pairs, method, noise, seed=0, n_points=1024, **options):
    random = np.random.default_rng([seed, len(method), n_points])
    answers = tuple(answer(p, noise, random, **options) for p in pairs)
    sizes = np.tile(SIZE, (len(pairs), 1))
    facts = {"n_points": n_points, "seed": seed, "versions": {"numpy": "2.0"}}
    return MatchedSet(method, answers, tuple(p.name for p in pairs), sizes, sizes, **facts)


def of_answers(pairs, method, answers, **facts):
    sizes = np.tile(SIZE, (len(pairs), 1))
    return MatchedSet(method, tuple(answers), tuple(p.name for p in pairs), sizes, sizes, 1024, **facts)


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(flow=True)


@pytest.fixture(scope="module")
def sets(pairs):
    return [
        matched(pairs, "sift", 1.0),
        matched(pairs, "orb", 2.0, wrong=20),
        matched(pairs, "net", 0.8),
        matched(pairs, "both", 0.3, wrong=3),
        matched(pairs, "sift", 1.0, n_points=512, n=20),
        matched(pairs, "both", 0.3, n_points=512, n=20),
    ]


@pytest.fixture(scope="module")
def paths(pairs, sets, tmp_path_factory):
    return write_points_report(
        sets,
        pairs,
        tmp_path_factory.mktemp("points"),
        families=FAMILIES,
        abouts={"sift": "Lowe's <own>"},
        provenance={"command": "hybridkp bench-points <data>", "date": "2026-01-02"},
    )


@pytest.fixture
def plain_page(monkeypatch):
    """Stubs in place of matplotlib: most tests are not about curves, and curves take seconds."""
    for name in ("trade_off_svg", "shares_svg"):
        monkeypatch.setattr(plots, name, lambda *a, **k: '<svg role="img" aria-label="stub"></svg>')
    monkeypatch.setattr(plots, "overview_png", lambda *a, **k: b"stub")


def read(paths):
    return (
        list(csv.DictReader(io.StringIO(paths["csv"].read_text()))),
        json.loads(paths["json"].read_text()),
        list(csv.DictReader(io.StringIO(paths["pairs"].read_text()))),
    )


def truths(pairs):
    return [p.homography if p.homography is not None else p.flow() for p in pairs]


def test_the_page_is_whole_and_has_every_method(paths):
    page = check_page(paths["html"])
    text = " ".join(page.text)
    for method, family in FAMILIES.items():
        assert method in text and family in text
    assert "hybridkp bench-points <data>" in text and "2026-01-02" in text
    assert ("th", "title", "Lowe's <own>") in page.attributes
    for section in (
        "Right matches by tolerance",
        "By kind of change",
        "By number of points",
        "viewpoint (4)",
    ):
        assert section in text
    assert set(os.listdir(paths["html"].parent)) == {p.name for p in paths.values()}
    one = next(csv.DictReader(io.StringIO(paths["objects"].read_text())))
    assert paths["objects"].name == "objects.csv" and {"method", "pair", "sequence"} <= one.keys()
    assert "objects" not in json.loads(paths["json"].read_text()), "a table is a file of its own"
    assert paths["overview"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert 'viewBox="0 0' in paths["html"].read_text()


def test_the_tables_numbers_are_the_metrics_of_the_stored_matches(paths, pairs, sets):
    """Every figure again, from the arrays, one pair after the other."""
    rows, stored, _ = read(paths)
    groups = np.array([p.sequence for p in pairs])
    planar = np.array([p.homography is not None for p in pairs])
    sift_ms = 1000 * np.array([sum(a.seconds.values()) for a in sets[0].results])
    for m in sets[:4]:
        row = next(r for r in rows if r["method"] == m.method)
        entry = next(e for e in stored["methods"] if e["method"] == m.method)
        both = list(zip(m.results, truths(pairs), strict=True))
        right = [np.sqrt(((metrics.transfer(a.xy_a, t) - a.xy_b) ** 2).sum(1)) <= 3 for a, t in both]
        known = [np.isfinite(metrics.transfer(a.xy_a, t)).all(1) for a, t in both]
        mma3 = np.array([r[k].mean() for r, k in zip(right, known, strict=True)])
        inliers = [int((r & a.inlier).sum()) for r, a in zip(right, m.results, strict=True)]
        corner = np.array([allmetrics.corner_error(a.homography, t, SIZE) for a, t in both])
        repeat = [
            metrics.repeatability(a.keypoints_a.xy, a.keypoints_b.xy, t, SIZE, SIZE, 3) for a, t in both
        ]
        auc3 = np.where(planar, np.maximum(0, 1 - corner / 3), np.nan)
        interval = statistics.bootstrap_interval(auc3, groups)
        mma_interval = statistics.bootstrap_interval(mma3, groups)
        ms = 1000 * np.array([sum(a.seconds.values()) for a in m.results])
        feature = 1000 * np.array([a.seconds["detect"] + a.seconds["describe"] for a in m.results]) / 2
        expected = {
            "auc@3": homographies.auc(corner, [3])[0],
            "auc@3_low": interval.low,
            "auc@3_high": interval.high,
            "auc@10": homographies.auc(corner, [10])[0],
            "mma@3": mma3.mean(),
            "mma@3_low": mma_interval.low,
            "mma@3_high": mma_interval.high,
            "repeatability@3": np.mean(repeat),
            "correct_inliers": np.mean(inliers),
            "inliers": np.mean([a.inlier.sum() for a in m.results]),
            "corner_px_median": np.median(corner[planar]),
            "ms": np.median(ms),
            "feature_ms": np.median(feature),
            "ratio": np.median(ms / sift_ms),
            "budget": 1024,
        }
        for key, value in expected.items():
            assert float(row[key]) == pytest.approx(value, rel=1e-9), (m.method, key)
            assert entry[key] == pytest.approx(value, rel=1e-9), (m.method, key)
        assert row["family"] == FAMILIES[m.method]
        for i, p in enumerate(pairs):
            assert entry["by_pair"][p.name]["mma@3"] == pytest.approx(mma3[i])
        for g in set(groups.tolist()):
            assert entry["by_sequence"][g]["mma@3"] == pytest.approx(mma3[groups == g].mean())
    assert rows[0]["method"] == "both"
    assert [float(r["auc@3"]) for r in rows] == sorted((float(r["auc@3"]) for r in rows), reverse=True)


def test_markdown_and_page_show_the_same_numbers(paths):
    rows, _, _ = read(paths)
    text = " ".join(" ".join(check_page(paths["html"]).text).split())
    markdown = paths["markdown"].read_text()
    for row in rows:
        shown = f"{float(row['auc@3']):.3f} [{float(row['auc@3_low']):.3f}, {float(row['auc@3_high']):.3f}]"
        assert shown in text and shown in markdown
        line = next(x for x in markdown.splitlines() if f"| {row['method']} | {row['family']} |" in x)
        assert f" {float(row['correct_inliers']):.0f} " in line
    bars = {line.count("|") for line in markdown.splitlines() if line.startswith("|")}
    assert len(bars) == 1


def test_comparisons_are_the_statistics(paths, pairs, sets):
    rows, stored, table = read(paths)
    names = [r["method"] for r in rows]
    groups = [p.sequence for p in pairs]
    by_name = {}
    for m in sets[:4]:
        scores = [
            allmetrics.pair_scores(a, t, SIZE, SIZE) for a, t in zip(m.results, truths(pairs), strict=True)
        ]
        by_name[m.method] = {key: np.array([s[key] for s in scores]) for key in ("auc@3", "mma@3")}
    for key in ("auc@3", "mma@3"):
        expected = statistics.compare_all(names, [by_name[n][key] for n in names], groups)
        lines = [line for line in table if line["figure"] == key]
        assert len(lines) == len(expected) == 6
        for line, c in zip(lines, expected, strict=True):
            assert (line["first"], line["second"]) == (c.first, c.second)
            for name in ("difference", "low", "high", "p", "p_holm"):
                assert float(line[name]) == pytest.approx(getattr(c, name))
        if key == "auc@3":
            assert {r["method"]: r["letters"] for r in rows} == statistics.letter_display(names, expected)
    against_sift, hybrids = stored["contests"]
    assert against_sift["baseline"] == "sift" and len(against_sift["mma@3"]) == 3
    single = next(n for n in names if FAMILIES[n] != "hybrid")
    assert hybrids["baseline"] == single and [c["first"] for c in hybrids["auc@3"]] == ["both"]
    for key in ("auc@3", "mma@3"):
        c = hybrids[key][0]
        one = statistics.paired_difference(by_name["both"][key], by_name[single][key], groups)
        assert (c["difference"], c["p"], c["p_holm"]) == pytest.approx((one.difference, one.p, one.p))
        raw = [c["p"] for c in against_sift[key]]
        assert [c["p_holm"] for c in against_sift[key]] == pytest.approx(statistics.holm(raw).tolist())


def test_a_control_is_no_single_method(tmp_path, plain_page):
    pairs = make_pairs(6)
    kinds = {"sift": "classical", "sift>ecc": "control", "union": "hybrid", "net>net": "hybrid"}
    noise = dict(zip(kinds, (2.0, 0.05, 0.5, 1.0), strict=True))
    sets = [matched(pairs, name, noise[name]) for name in kinds]
    plain = write_points_report(sets, pairs, tmp_path, families=kinds)["markdown"].read_text()
    late = [replace(a, seconds={**a.seconds, "second stage": 0.01}) for a in sets[2].results]
    sets[2] = replace(sets[2], results=tuple(late))
    paths = write_points_report(sets, pairs, tmp_path, families=kinds)
    assert "not a detector's alone" in paths["markdown"].read_text() and "detector's alone" not in plain
    rows, stored, _ = read(paths)
    assert rows[0]["method"] == "sift>ecc"
    contests = [(c["baseline"], {r["first"] for r in c["auc@3"]}) for c in stored["contests"]]
    hybrids = {"union", "net>net"}
    assert contests == [("sift", hybrids | {"sift>ecc"}), ("sift", hybrids), ("sift>ecc", hybrids)]
    assert "A control has a hybrid's stages" in " ".join(check_page(paths["html"]).text)


def test_the_curve_is_mma(pairs, sets):
    truth = gather_truth(pairs, sets)
    scores = score_points(truth, sets, FAMILIES)
    assert main_budget(scores) == 1024 and sorted(scores) == [512, 1024]
    s = next(s for s in scores[1024] if s.method == "net")
    expected = [
        metrics.mma(a.xy_a, a.xy_b, t, CURVE_PX) for a, t in zip(s.matched, truth.truths, strict=True)
    ]
    np.testing.assert_allclose(s.curve, expected)
    assert (np.diff(s.curve, axis=1) >= 0).all() and s.curve[:, 2] == pytest.approx(s.mean("mma@3"))


def test_processor_time_goes_before_the_clock(pairs):
    m = replace(matched(pairs, "sift", 1.0), cpu_seconds=np.full(len(pairs), 0.02))
    s = score_points(gather_truth(pairs, [m]), [m], {})[1024][0]
    np.testing.assert_allclose(s.pair_ms, 20)
    np.testing.assert_allclose(s.feature_ms, 20 * 7 / 11 / 2)  # noise 1: (2 + 5) of 11 ms on the clock


def test_seeds_are_averaged_pair_by_pair(pairs, tmp_path, plain_page):
    runs = [matched(pairs, "net", noise, seed) for seed, noise in enumerate((0.2, 4.0))]
    row = read(write_points_report(runs, pairs, tmp_path, families={}))[0][0]
    alone = [
        np.mean([metrics.mma(a.xy_a, a.xy_b, t, [3]) for a, t in zip(m.results, truths(pairs), strict=True)])
        for m in runs
    ]
    assert float(row["mma@3"]) == pytest.approx(np.mean(alone)) and float(row["seeds"]) == 2
    assert alone[0] - alone[1] > 0.2


# --------------------------------------------------------------------------------------------
# pictures
# --------------------------------------------------------------------------------------------


def near(picture, color):
    return (np.abs(picture.astype(int) - color) < 60).all(-1)


def one_pair(xy_b, homography=None):
    """A grey pair whose truth is a shift by (20, 10), and one match from (40, 50)."""
    grey = np.full((100, 150, 3), 110, np.uint8)
    h = np.array([[1.0, 0, 20], [0, 1, 10], [0, 0, 1]])
    pairs = PairSet("one", (Pair("s/1-2", "s", lambda: grey, lambda: grey, h),))
    spots = Keypoints(np.float32([[40, 50]])), Keypoints(np.float32([xy_b]))
    found = h if homography is None else homography
    m = Matched(*spots, [[40, 50]], [xy_b], [1.0], found, [True])
    sizes = [[100, 150]]
    return pairs, [MatchedSet("m", (m,), ("s/1-2",), sizes, sizes, 1024)]


@pytest.mark.parametrize(
    ("xy_b", "right"), [((60, 60), True), ((62.9, 60), True), ((63.1, 60), False), ((60, 50), False)]
)
def test_colours_follow_the_truth(xy_b, right):
    pairs, sets = one_pair(xy_b)
    truth = gather_truth(pairs, sets)
    s = score_points(truth, sets, {})[1024][0]
    out = point_pictures.PairGallery(truth).draw(0, s)
    assert out.shape == (100, 306, 3)
    assert near(out, RIGHT_COLOR).any() == right and near(out, WRONG_COLOR).any() != right
    ends = near(out, RIGHT_COLOR if right else WRONG_COLOR)
    for x, y in ((40, 50), (round(156 + xy_b[0]), xy_b[1])):
        assert ends[y - 1 : y + 2, x - 1 : x + 2].any(), "the ends lie where the points are"
    assert point_pictures.caption(truth, s, 0).startswith(f"{int(right)} of 1 matches right")


def test_large_pictures_are_shrunk_by_the_half_pixel_rule(monkeypatch):
    seen = []
    monkeypatch.setattr(point_pictures, "draw_matches", lambda *a, **k: seen.append(a))
    large, small = np.full((400, 1000), 110, np.uint8), np.full((300, 500), 110, np.uint8)
    pairs = PairSet("one", (Pair("s/1-2", "s", lambda: large, lambda: small, np.eye(3)),))
    spots = Keypoints([[1, 1]]), Keypoints([[1, 1]])
    m = Matched(*spots, [[500, 200]], [[250, 0]], [1.0], np.eye(3), [True])
    sets = [MatchedSet("m", (m,), ("s/1-2",), [[400, 1000]], [[300, 500]], 1024)]
    truth = gather_truth(pairs, sets)
    point_pictures.PairGallery(truth, width=300).draw(0, score_points(truth, sets, {})[1024][0])
    image_a, image_b, xy_a, xy_b, right = seen[0]
    assert (image_a.shape, image_b.shape) == ((80, 200), (60, 100))
    np.testing.assert_allclose(xy_a, [[99.6, 39.6]], atol=1e-4)
    np.testing.assert_allclose(xy_b, [[49.6, -0.4]], atol=1e-4)
    assert right.tolist() == [0]


def test_unknown_truth_is_said(pairs, sets):
    truth = gather_truth(pairs, sets)
    s = score_points(truth, sets[:1], {})[1024][0]
    beyond = sets[0].results[-1].xy_a[:, 0] > 79
    marks = point_pictures.right_matches(truth, s, len(pairs) - 1)
    assert np.isnan(marks[beyond]).all()
    assert "measured disparity" in point_words.legend(truth)


def test_chosen_methods_and_pairs(pairs, sets):
    truth = gather_truth(pairs, sets)
    scores = score_points(truth, sets, FAMILIES)[1024]
    few = point_pictures.choose_methods(scores, "orb", 3)
    assert len(few) == 3 and {"both", "net"} <= {s.method for s in few}, "the best of each family first"
    for s in scores:
        cases = point_pictures.choose_pairs(s)
        share = s.values["mma@3"][0]
        assert share[cases["best"]] == share.max() and share[cases["worst"]] == share.min()
        assert share[cases["best"]] >= share[cases["median"]] >= share[cases["worst"]]
    rows = point_pictures.choose_disagreement(truth, scores)
    assert len({pairs.pairs[r].sequence for r in rows}) == len(rows) == 2


# --------------------------------------------------------------------------------------------
# odd input
# --------------------------------------------------------------------------------------------


def test_names_are_only_text(tmp_path, plain_page):
    pairs = make_pairs(4, name="<b>set</b>")
    hostile = replace(pairs.pairs[0], name="</td><script>x</script>", change="<i>&", sequence="--><b>")
    pairs = replace(pairs, pairs=(hostile, *pairs.pairs[1:]))
    wild = ["sift", '<script>alert("1")</script>', "a|b & $x$ *y* \\", "=1+1", "ünï ➜ 漢字", "</svg><b>"]
    sets = [matched(pairs, name, 0.5 + i) for i, name in enumerate(wild)]
    paths = write_points_report(
        sets, pairs, tmp_path, families={n: f"<u>{n}" for n in wild}, abouts=dict.fromkeys(wild, '"><b>')
    )
    page = check_page(paths["html"])
    assert page.tags.count("script") == 1 and not {"u", "i"} & set(page.tags)
    text = "".join(page.text)
    for name in wild:
        assert name in text and f"<u>{name}" in text
    assert "<b>set</b>" in text and "</td><script>x</script>" in text
    assert [r["method"] for r in read(paths)[0] if "1+1" in r["method"]] == ["'=1+1"]


CASES = {
    "no matches at all": lambda pairs: [of_answers(pairs, "sift", [no_result()] * len(pairs))],
    "no homography": lambda pairs: [
        replace(m, results=tuple(replace(a, homography=np.full((3, 3), np.nan)) for a in m.results))
        for m in [matched(pairs, "sift", 1.0), matched(pairs, "orb", 1.0)]
    ],
    "singular homography": lambda pairs: [
        replace(m, results=tuple(replace(a, homography=np.zeros((3, 3))) for a in m.results))
        for m in [matched(pairs, "sift", 1.0)]
    ],
    "one method fails everywhere": lambda pairs: [
        matched(pairs, "sift", 1.0),
        of_answers(pairs, "orb", [no_result()] * len(pairs), failures={p.name: "E: <x>" for p in pairs}),
    ],
    "fewer than four matches": lambda pairs: [matched(pairs, "sift", 0.1, n=3, wrong=0)],
    "two equal methods": lambda pairs: [matched(pairs, "sift", 1.0), matched(pairs, "tfis", 1.0)],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_odd_answers_still_give_a_page(case, tmp_path, plain_page):
    pairs = make_pairs(6)
    sets = CASES[case](pairs)
    paths = write_points_report(sets, pairs, tmp_path, families={})
    check_page(paths["html"])
    rows, stored, _ = read(paths)
    assert len(rows) == len(sets) and "NaN" not in paths["json"].read_text()
    if case in ("no homography", "singular homography", "no matches at all"):
        assert all(float(r["auc@3"]) == 0 for r in rows), "a pair without a homography counts as 0"
        assert all(v["corner_px"] is None for v in stored["methods"][0]["by_pair"].values())
    if case == "no matches at all":
        text = " ".join(check_page(paths["html"]).text)
        assert float(rows[0]["mma@3"]) == 0 and "no matches" in text
        assert "counts as 0 in MMA and AUC" in text and "sift (6 pairs)" in text
    if "fails" in case:
        assert rows[1]["method"] == "orb" and float(rows[1]["failures"]) == 6
        assert "An exception counts as no points" in " ".join(stored["about"]["notes"])
    if case == "two equal methods":
        assert rows[0]["letters"] == rows[1]["letters"] == "a"


def test_a_plot_of_methods_that_all_solve_nothing():
    spots = [plots.Point(name, ms, 0.0, 0.0, 0.0) for name, ms in (("sift", 10.0), ("orb", 1.0))]
    options = {"y_label": "AUC@3", "name": "p", "width": 3.6, "height": 3.0}
    assert "<svg" in plots.trade_off_svg(spots, lower_is_better=False, what="pair", **options)


def test_only_flows(tmp_path, plain_page):
    pairs = make_pairs(2, flow=True)
    pairs = replace(pairs, pairs=pairs.pairs[1:])
    paths = write_points_report([matched(pairs, "sift", 1.0)], pairs, tmp_path, families={})
    text = " ".join(check_page(paths["html"]).text)
    assert "sift has the highest MMA@3" in text and "AUC@3" not in text.split("How this was made")[0]
    assert read(paths)[1]["about"]["headline"] == "mma@3"


def test_a_pair_that_a_method_lacks_counts_as_nothing_found(tmp_path, plain_page):
    pairs = make_pairs(6)
    whole = matched(pairs, "sift", 0.2)
    some = replace(
        whole,
        method="net",
        results=whole.results[:3],
        names=whole.names[:3],
        size_hw_a=whole.size_hw_a[:3],
        size_hw_b=whole.size_hw_b[:3],
        cpu_seconds=None,
    )
    rows, stored, _ = read(write_points_report([whole, some], pairs, tmp_path, families={}))
    by_name = {r["method"]: r for r in rows}
    entry = next(e for e in stored["methods"] if e["method"] == "net")
    assert [entry["by_pair"][p.name]["mma@3"] == 0 for p in pairs] == [False] * 3 + [True] * 3
    assert float(by_name["net"]["mma@3"]) < 0.7 * float(by_name["sift"]["mma@3"])


def test_few_sequences_are_said(tmp_path, plain_page):
    pairs = make_pairs(6)
    names = ("sift", "orb", "net")
    paths = write_points_report([matched(pairs, n, 1.0) for n in names], pairs, tmp_path, families={})
    text = " ".join(" ".join(check_page(paths["html"]).text).split())
    assert "draws whole sequences" in text
    assert "Only 3 sequences count in AUC@3" in text and "2 / 2^3 = 0.25" in text
    assert "the letters cannot separate any two" in text


def test_no_reference_no_ratio(tmp_path, plain_page):
    pairs = make_pairs(4)
    sets = [matched(pairs, "orb", 1.0), matched(pairs, "net", 2.0)]
    for reference, there in (("sift", False), ("orb", True)):
        paths = write_points_report(sets, pairs, tmp_path, families={}, reference=reference)
        assert ("time" in paths["markdown"].read_text().splitlines()[0]) == there


def test_a_lost_picture_costs_only_its_picture(tmp_path, plain_page):
    def lost():
        raise OSError("gone")

    pairs = make_pairs(2)
    pairs = replace(pairs, pairs=(replace(pairs.pairs[0], load_b=lost), pairs.pairs[1]))
    check_page(write_points_report([matched(pairs, "sift", 1.0)], pairs, tmp_path, families={})["html"])


def test_wrong_answers_are_named(pairs, sets, tmp_path):
    first = sets[0]
    cases = [
        ([], {}, "nothing to report"),
        ([replace(first, fingerprint="beef")], {}, "matches of sift were made on pairs beef"),
        ([replace(first, names=("x", *first.names[1:]))], {}, "the pair x is not in toy"),
        ([first, first], {}, "2 predictions of sift with 1024 points and seed 0"),
        ([first], {"level": 1.0}, "level must lie between 0 and 1"),
    ]
    for given, options, words in cases:
        with pytest.raises(InputError, match=words):
            write_points_report(given, pairs, tmp_path, families={}, **options)
    assert not list(tmp_path.iterdir())
