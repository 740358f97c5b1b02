"""The points bench: stored answers, resuming, pairs that raise, times, and two runs that agree."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from plain_matchers import SHIFT, Broken, Guess, Picky, Stopping, plain_pairs

from hybridkp.evaluate import bench_pairs, stored_matches
from hybridkp.evaluate import bench_points as bench
from hybridkp.files import MatchedSet, load_matched, save_matched
from hybridkp.files.matched import no_result
from hybridkp.metrics import pair_scores
from hybridkp.structures import InputError
from hybridkp.structures.pairs import PairSet

PAIRS = plain_pairs()


class Listener(list):
    def __call__(self, *event):
        self.append(event)

    def names(self, event):
        return [e[1] for e in self if e[0] == event]


def make(kind, **more):
    """A recipe: (n_points, random_state) -> matcher."""
    return lambda n, seed: kind(n_points=n, random_state=seed, **more)


def same_arrays(a, b):
    for x, y in zip(a.results, b.results, strict=True):
        for name in ("xy_a", "xy_b", "score", "inlier", "homography"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name))
        for name in ("keypoints_a", "keypoints_b"):
            np.testing.assert_array_equal(getattr(x, name).xy, getattr(y, name).xy)
    np.testing.assert_array_equal(a.size_hw_a, b.size_hw_a)


# --------------------------------------------------------------------------------------------
# the run
# --------------------------------------------------------------------------------------------


def test_every_method_budget_and_seed(here, tmp_path):
    tell = Listener()
    methods = {"guess": make(Guess), "exact": make(Guess, noise=0.0)}
    found = bench_pairs(methods, PAIRS, out=tmp_path, n_points=(20, 30), seeds=(0, 1, 1), progress=tell)
    assert [(m.method, m.n_points, m.seed) for m in found] == [
        (name, n, seed) for name in methods for n in (20, 30) for seed in (0, 1)
    ]
    assert [m.label for m in found[::2]] == ["guess-20", "guess-30", "exact-20", "exact-30"]
    for m in found:
        assert m.names == tuple(p.name for p in PAIRS) and m.fingerprint == PAIRS.fingerprint
        assert all(len(a.keypoints_a) == m.n_points for a in m.results) and not m.failures
        assert m.size_hw_b.tolist() == [[60, 80]] * 5
        np.testing.assert_allclose(m.seconds(), 0.003)
        np.testing.assert_allclose(m.seconds("detect"), 0.002)
        assert (m.cpu_seconds >= 0).all() and m.peak_bytes > 1e6 and "numpy" in m.versions
    scores = pair_scores(
        found[4].results[0], SHIFT, *map(tuple, (found[4].size_hw_a[0], found[4].size_hw_b[0]))
    )
    assert scores["auc@3"] == scores["mma@1"] == scores["repeatability@1"] == 1
    assert any((a.xy_a != b.xy_a).any() for a, b in zip(found[0].results, found[1].results, strict=True))
    stored = stored_matches(tmp_path)
    assert sorted(m.label for m in stored) == sorted(m.label for m in found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["matched"]


def test_processes_agree_with_this_one_and_the_clock_runs_alone(tmp_path):
    """With two jobs the clock runs afterwards; the arrays are those of one process."""
    tell = Listener()
    pairs, methods = plain_pairs(4, blank_at=1), {"picky": make(Picky)}
    (found,) = bench_pairs(
        methods, pairs, out=tmp_path / "two", n_points=(30,), n_jobs=2, max_timed=2, progress=tell
    )
    assert tell.names("done") == tell.names("timed") == ["picky-30"]
    np.testing.assert_array_equal(np.isfinite(found.seconds()), [True, False, False, True])
    np.testing.assert_array_equal(np.isfinite(found.cpu_seconds), [True, False, False, True])
    assert list(found.failures) == ["s1/1-1"]
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["errors", "matched"]
    job = bench._job("picky", methods["picky"], 30, 0, pairs, pairs.fingerprint, tmp_path / "one", 1, 2)
    same_arrays(bench._matched(job), found)


def test_times_that_are_missing_are_taken_by_the_next_run(here, tmp_path):
    run = partial(bench_pairs, {"guess": make(Guess)}, PAIRS, out=tmp_path, n_points=(30,))
    (untimed,) = run(n_jobs=2, max_timed=0)
    assert np.isnan(untimed.seconds()).all() and np.isnan(untimed.cpu_seconds).all() and untimed.stages == ()
    tell = Listener()
    (timed,) = run(max_timed=3, progress=tell)
    assert [e[0] for e in tell] == ["kept", "start", "timed"]
    assert np.isfinite(timed.seconds()).tolist() == [True, False, True, False, True]
    same_arrays(timed, untimed)
    tell.clear()
    run(max_timed=3, progress=tell)
    assert [e[0] for e in tell] == ["kept"]


def test_a_method_that_fails_leaves_the_others_alone(here, tmp_path):
    tell = Listener()
    methods = {"broken": make(Broken), "guess": make(Guess)}
    (found,) = bench_pairs(methods, PAIRS, out=tmp_path, n_points=(30,), progress=tell)
    assert found.label == "guess-30" and tell.names("failed") == ["broken-30"]
    assert "never works" in (tmp_path / "errors" / "broken-30-0.txt").read_text()


def test_a_pair_that_raises_has_no_answer(here, tmp_path):
    tell = Listener()
    pairs = plain_pairs(4, blank_at=2)
    (found,) = bench_pairs({"picky": make(Picky)}, pairs, out=tmp_path, progress=tell)
    assert found.failures == {"s0/1-2": "ValueError: a blank picture"}
    assert ("done", "picky-1024", 0, "1 of 4 pairs raised") in tell
    lost = found.results[2]
    assert len(lost.keypoints_a) == len(lost.xy_a) == 0 and np.isnan(lost.homography).all()
    assert np.isnan(found.seconds()).tolist() == [False, False, True, False]
    values = pair_scores(lost, SHIFT, (60, 80), (60, 80))
    assert values["auc@10"] == values["mma@5"] == values["repeatability@3"] == 0
    (text,) = (tmp_path / "errors").iterdir()
    assert text.read_text().startswith("s0/1-2\nTraceback")


def test_when_every_method_fails(here, tmp_path):
    with (
        pytest.warns(RuntimeWarning, match="broken-1024 .* failed: RuntimeError: never works"),
        pytest.raises(InputError, match="every method failed; broken-1024: RuntimeError: never works"),
    ):
        bench_pairs({"broken": make(Broken)}, PAIRS, out=tmp_path)


# --------------------------------------------------------------------------------------------
# kept and gone on with
# --------------------------------------------------------------------------------------------


def test_finished_ones_are_kept_and_changed_ones_are_not(here, tmp_path, monkeypatch):
    run = partial(bench_pairs, pairs=PAIRS, out=tmp_path, n_points=(20,))
    first = run({"guess": make(Guess)})[0]
    path = tmp_path / "matched" / "guess-20-0.safetensors"
    before = path.stat().st_mtime_ns
    tell = Listener()
    (again,) = run({"guess": make(Guess)}, progress=tell)
    assert tell == [("kept", "guess-20", 0, "")] and path.stat().st_mtime_ns == before
    same_arrays(first, again)

    def reasons(methods, **more):
        tell = Listener()
        run(methods, progress=tell, **more)
        return [e[3] for e in tell if e[0] == "stale"]

    assert reasons({"guess": make(Guess, noise=0.25)}) == ["matcher changed"]
    fewer = PairSet("plain", PAIRS.pairs[:3])
    assert reasons({"guess": make(Guess, noise=0.25)}, pairs=fewer) == ["data changed"]
    monkeypatch.setattr(bench, "_source", lambda: "another")
    assert reasons({"guess": make(Guess, noise=0.25)}, pairs=fewer) == ["source changed"]
    path.write_bytes(path.read_bytes()[:200])
    (reason,) = reasons({"guess": make(Guess, noise=0.25)}, pairs=fewer)
    assert "delete it and run again" in reason
    assert load_matched(path).names == tuple(p.name for p in fewer)


def test_a_killed_method_goes_on_at_its_pair(here, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SAVE_EVERY", 0.0)
    gate = tmp_path / "gate"
    methods = {"guess": make(Guess), "stopping": make(Stopping, gate=str(gate))}
    run = partial(bench_pairs, methods, PAIRS, out=tmp_path / "out", n_points=(20,))
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(gate.with_suffix(".log").read_text()) == 4  # warm-up, two pairs, and the interruption
    gate.touch()
    tell = Listener()
    kept, stopped = run(progress=tell)
    assert tell.names("kept") == ["guess-20"] and tell.names("done") == ["stopping-20"]
    assert len(gate.with_suffix(".log").read_text()) == 4 + 1 + 3  # warm-up, and the three that were left
    assert stopped.names == kept.names
    same_arrays(stopped, kept)
    assert np.isfinite(stopped.seconds()).all()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["matched"]


def test_a_beginning_of_something_else_is_not_gone_on_with(tmp_path):
    job = bench._job("g", make(Guess), 20, 0, PAIRS, PAIRS.fingerprint, tmp_path, 1, 5)
    found = bench._matched(job)
    for change in ({"fingerprint": "x"}, {"params": {}}, {"n_points": 3}, {"names": ("a", *found.names[1:])}):
        save_matched(replace(found, **change), job.partial)
        assert bench._begun(job) is None
    save_matched(found, job.partial)
    assert len(bench._begun(job)) == len(PAIRS)
    job.partial.write_bytes(b"nonsense")
    assert bench._begun(job) is None


def test_matchers_given_ready(here, tmp_path):
    """A matcher is asked as it is, with its own budget and the seed."""
    found = bench_pairs({"a": Guess(n_points=11), "b": Guess(n_points=12)}, PAIRS, out=tmp_path, seeds=(0, 7))
    assert [(m.label, m.seed) for m in found] == [("a-11", 0), ("a-11", 7), ("b-12", 0), ("b-12", 7)]
    assert "random_state=7" in found[1].params["matcher"]


def test_what_cannot_be_asked(here, tmp_path):
    for methods, message in (({}, "no methods"), ([("a", Guess()), ("a", Guess())], "named twice")):
        with pytest.raises(InputError, match=message):
            bench_pairs(methods, PAIRS, out=tmp_path)
    with pytest.raises(InputError, match="has no pairs"):
        bench_pairs({"a": Guess()}, PairSet("empty", ()), out=tmp_path)
    with pytest.raises(InputError, match="no stored matches"):
        stored_matches(tmp_path)


# --------------------------------------------------------------------------------------------
# the file
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some():
    rows = [
        Guess(n, random_state=0).match(*(load() for load in (p.load_a, p.load_b)))
        for n, p in zip((7, 0, 12), PAIRS, strict=False)
    ]
    answers = (rows[0], no_result(), replace(rows[2], seconds={"detect": 1.5}), rows[1])
    return MatchedSet(
        "a/b", answers, tuple("pqrs"), [[4, 5]] * 4, [[6, 7]] * 4, 12, 3, [1, np.nan, 2, 3], "set", "f" * 16,
        {"matcher": "m"}, 5, {"q": "no"}, {"numpy": "2"},
    )  # fmt: skip


def test_there_and_back(some, tmp_path):
    path = tmp_path / "m.safetensors"
    save_matched(some, path)
    found = load_matched(path)
    same_arrays(found, some)
    for name in (
        "method",
        "names",
        "n_points",
        "seed",
        "data",
        "fingerprint",
        "params",
        "failures",
        "versions",
    ):
        assert getattr(found, name) == getattr(some, name), name
    for a, b in zip(found.results, some.results, strict=True):
        assert a.seconds == b.seconds
        for name in ("score", "size", "angle", "octave"):
            np.testing.assert_array_equal(getattr(a.keypoints_b, name), getattr(b.keypoints_b, name))
    np.testing.assert_array_equal(found.cpu_seconds, [1, np.nan, 2, 3])
    np.testing.assert_allclose(found.seconds(), [0.003, np.nan, 1.5, 0.003])
    np.testing.assert_allclose(found.seconds("match"), [0.001, np.nan, 0, 0.001])
    assert found.stages == ("detect", "match")


def test_a_set_without_pairs(tmp_path):
    empty = MatchedSet("m", (), (), np.zeros((0, 2)), np.zeros((0, 2)))
    save_matched(empty, tmp_path / "m")
    assert len(load_matched(tmp_path / "m")) == 0


def spoiled(path, change):
    """The file with other metadata or arrays."""
    from safetensors.numpy import load, save

    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    meta = json.loads(data[8 : 8 + length])["__metadata__"]
    arrays, rest = load(data), json.loads(meta["matches"])
    change(arrays, rest, meta)
    meta["matches"] = json.dumps(rest)
    meta.pop("sha256")  # as if it had been written so
    path.write_bytes(save(arrays, metadata=meta))


def offsets(name, values):
    return lambda arrays, rest, meta: arrays.__setitem__(name, np.array(values, np.int64))


@pytest.mark.parametrize(
    "change",
    [
        offsets("a.offsets", [0, 7, 7, 19]),
        offsets("a.offsets", [0, 9, 7, 19, 19]),
        offsets("b.offsets", [0, 7, 7, 19, 25]),
        offsets("matches.offsets", [1, 7, 7, 19, 19]),
        lambda arrays, rest, meta: arrays.__setitem__("matches.score", np.zeros(3, np.float32)),
        lambda arrays, rest, meta: arrays.__setitem__("homography", np.zeros((3, 3, 3))),
        lambda arrays, rest, meta: arrays.__setitem__("size_hw_a", np.zeros((3, 2), np.int64)),
        lambda arrays, rest, meta: arrays.__setitem__("a.xy", np.zeros((19, 3), np.float32)),
        lambda arrays, rest, meta: arrays.pop("seconds"),
        lambda arrays, rest, meta: rest.pop("names"),
        lambda arrays, rest, meta: rest.__setitem__("names", ["p", "p", "q", "r"]),
        lambda arrays, rest, meta: rest.__setitem__("stages", ["detect"]),
        lambda arrays, rest, meta: meta.__setitem__("format", "2"),
        lambda arrays, rest, meta: meta.__setitem__("format", "x"),
    ],
)
def test_damaged_files_are_refused(some, tmp_path, change):
    path = tmp_path / "m.safetensors"
    save_matched(some, path)
    spoiled(path, change)
    with pytest.raises(InputError, match=r"m\.safetensors: ") as caught:
        load_matched(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("cut", [0, 4, 100, 3000, -1])
def test_cut_files_are_refused(some, tmp_path, cut):
    path = tmp_path / "m.safetensors"
    save_matched(some, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="not a matches file"):
        load_matched(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_matched(tmp_path / "none")


def test_predictions_are_not_matches(tmp_path):
    from hybridkp.files import load_predictions, save_predictions
    from hybridkp.structures import Predictions

    save_predictions(
        Predictions("m", np.zeros((1, 2, 2)), np.zeros((1, 2)), ("a",), [0], [1]), tmp_path / "p"
    )
    save_matched(MatchedSet("m", (no_result(),), ("a",), [[2, 2]], [[2, 2]]), tmp_path / "m")
    with pytest.raises(InputError, match="p: not a matches file"):
        load_matched(tmp_path / "p")
    with pytest.raises(InputError, match="m: not a predictions file"):
        load_predictions(tmp_path / "m")


def test_lengths_are_checked():
    with pytest.raises(InputError, match="1 results for 2 pairs"):
        MatchedSet("m", (no_result(),), ("a", "b"), [[2, 2]] * 2, [[2, 2]] * 2)


# --------------------------------------------------------------------------------------------
# real data
# --------------------------------------------------------------------------------------------


@pytest.mark.data
def test_two_methods_on_real_pairs(data_root, tmp_path, here):
    from hybridkp.datasets import load_pairs
    from hybridkp.recipes import make_matcher

    whole = load_pairs(data_root / "oxford_affine", 240)
    pairs = PairSet(whole.name, tuple(p for p in whole if p.name in ("graf/1-2", "leuven/1-2")))
    methods = {name: partial(make_matcher, name) for name in ("sift", "orb")}
    runs = [bench_pairs(methods, pairs, out=tmp_path / o, n_points=(256,)) for o in ("one", "two")]
    for first, second in zip(*runs, strict=True):
        same_arrays(first, second)  # one seed, two runs, the same results
        assert not first.failures
        for pair, answer, a, b in zip(pairs, first.results, first.size_hw_a, first.size_hw_b, strict=True):
            values = pair_scores(answer, pair.homography, tuple(a), tuple(b))
            assert values["mma@3"] > 0.4 and values["repeatability@3"] > 0.3 and values["correct@5"] == 1
            assert values["mma@3"] < 1 and 0.1 < values["localisation_px"] < 1.5
