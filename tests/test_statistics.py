"""Intervals and paired tests: hand-computed cases, coverage, and what must never happen."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare, permutation_test

from hybridkp import stats as statistics
from hybridkp.structures import InputError

NAN = np.nan
FAST = {"n_resamples": 200, "n_permutations": 199}


def _clustered(rng: np.random.Generator, n_groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Values with mean 0 in which objects of a group lie close together."""
    values = rng.normal(0, 1, (n_groups, 1)) + rng.normal(0, 0.3, (n_groups, size))
    return values.ravel(), np.repeat(np.arange(n_groups), size)


# -- intervals --------------------------------------------------------------------------------


def test_interval_of_two_groups_by_hand() -> None:
    # resampled means are 1, 2 or 3; the widened tails reach the extremes
    found = statistics.bootstrap_interval([1, 1, 3, 3, NAN], ["a", "a", "b", "b", "c"])
    assert found == statistics.Interval(value=2.0, low=1.0, high=3.0, n=4, n_groups=2)


def test_interval_agrees_with_the_formula_when_groups_are_many() -> None:
    values = np.random.default_rng(0).normal(5, 2, 1000)
    found = statistics.bootstrap_interval(values, n_resamples=4000)
    half = 1.96 * values.std(ddof=1) / np.sqrt(1000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_groups_widen_the_interval() -> None:
    values, groups = _clustered(np.random.default_rng(0), 40, 10)
    alone = statistics.bootstrap_interval(values)
    grouped = statistics.bootstrap_interval(values, groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("n_groups", [8, 25])
def test_coverage_with_few_groups(n_groups: int) -> None:
    rng = np.random.default_rng(n_groups)
    inside = 0
    for trial in range(400):
        values, groups = _clustered(rng, n_groups, 4)
        found = statistics.bootstrap_interval(values, groups, n_resamples=500, random_state=trial)
        inside += found.low <= 0 <= found.high
    # 95 % wanted; the binomial's own 3 sigma is 3.3 %
    assert 0.915 <= inside / 400 <= 0.985


def test_any_statistic() -> None:
    values, groups = _clustered(np.random.default_rng(0), 30, 3)
    mean = statistics.bootstrap_interval(values, groups)
    slow = statistics.bootstrap_interval(values, groups, statistic=np.mean)
    assert (slow.low, slow.high) == pytest.approx((mean.low, mean.high), rel=1e-9)
    median = statistics.bootstrap_interval(values, groups, statistic=np.median, n_resamples=300)
    assert median.low < median.value == np.median(values) < median.high


def test_too_little_to_know() -> None:
    one = statistics.bootstrap_interval([1.0, 2.0], ["a", "a"])
    assert one.value == 1.5 and np.isnan([one.low, one.high]).all() and one.n_groups == 1
    none = statistics.bootstrap_interval([NAN], ["a"])
    assert np.isnan(none.value) and none.n == 0


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=50)
    values.flags.writeable = False
    first = statistics.bootstrap_interval(values, random_state=3)
    assert first == statistics.bootstrap_interval(values, random_state=3)
    assert first != statistics.bootstrap_interval(values, random_state=4)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, 20, elements=st.floats(-10, 10, width=32)),
    st.floats(-100, 100, width=32),
    st.floats(0.25, 4, width=32),
)
def test_intervals_move_and_scale_with_the_values(values, shift, scale) -> None:
    groups = np.arange(20) // 2
    before = statistics.bootstrap_interval(values, groups, n_resamples=100)
    after = statistics.bootstrap_interval(values * scale + shift, groups, n_resamples=100)
    expected = np.array([before.value, before.low, before.high]) * scale + shift
    np.testing.assert_allclose([after.value, after.low, after.high], expected, rtol=1e-6, atol=1e-6)


# -- pairs ------------------------------------------------------------------------------------


def test_identical_methods() -> None:
    values = np.random.default_rng(0).normal(size=60)
    found = statistics.paired_difference(values, values, np.arange(60) // 3)
    assert found.p == 1.0 and found.low == found.high == found.difference == 0.0


def test_sign_flips_by_hand() -> None:
    # group sums 3, 2, -1 of 5 objects: |4| or more in ++-, --+, and +++ / --- (|4|, |6|): 4 of 8
    a = [1.0, 2.0, 1.0, 1.0, -1.0]
    found = statistics.paired_difference(a, np.zeros(5), ["x", "x", "y", "y", "z"])
    assert found.p == 0.5 and found.difference == pytest.approx(0.8)
    assert found.n == 5 and found.n_groups == 3


def test_sign_flips_against_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (2, 10))
    other = permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert statistics.paired_difference(a, b).p == pytest.approx(other.pvalue)


def test_drawn_flips_come_near_the_exact_ones_and_are_never_zero() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(0.4, 1, 12)
    exact = statistics.paired_difference(a, np.zeros(12), n_permutations=4096).p
    drawn = statistics.paired_difference(a, np.zeros(12), n_permutations=4000).p
    assert drawn == pytest.approx(exact, abs=0.03)
    assert statistics.paired_difference(np.ones(80), np.zeros(80)).p == 1e-4


def test_p_is_uniform_when_there_is_no_difference() -> None:
    rng = np.random.default_rng(3)
    p = []
    for trial in range(300):
        values, groups = _clustered(rng, 25, 4)
        p.append(statistics.paired_difference(values, 0 * values, groups, random_state=trial, **FAST).p)
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert 0.4 < np.mean(p) < 0.6


def test_rows_missing_in_one_method_are_left_out_of_both() -> None:
    found = statistics.paired_difference([1.0, NAN, 3.0, 5.0], [0.0, 0.0, NAN, 3.0], list("abcc"))
    assert (found.difference, found.n, found.n_groups) == (1.5, 2, 2)


def test_one_group_proves_nothing() -> None:
    found = statistics.paired_difference([5.0, 6.0], [1.0, 1.0], ["a", "a"])
    assert found.p == 1.0 and np.isnan(found.low)
    assert np.isnan(statistics.paired_difference([NAN], [1.0]).p)


# -- many methods -----------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04 -> made monotone
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_array_equal(statistics.holm([0.6, NAN, 0.02]), [0.6, NAN, 0.04])
    assert statistics.holm([0.9, 0.8]).max() == 1.0 and len(statistics.holm([])) == 0


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_holm_lies_between_no_correction_and_bonferroni(p) -> None:
    corrected = statistics.holm(p)
    assert (corrected >= p).all() and (corrected <= np.minimum(1, 7 * p) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


def _three() -> tuple[list[str], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(5, 1, 60)
    values = np.stack([base, base + rng.normal(0, 0.2, 60), base + 1 + rng.normal(0, 0.2, 60)])
    return ["a", "b", "worse"], values, np.arange(60) // 2


def test_compare_all_tells_apart_what_differs() -> None:
    names, values, groups = _three()
    found = statistics.compare_all(names, values, groups)
    assert [(c.first, c.second) for c in found] == list(combinations(names, 2))
    assert [c.distinguishable for c in found] == [False, True, True]
    np.testing.assert_allclose(statistics.holm([c.p for c in found]), [c.p_holm for c in found])
    for c in found[1:]:
        assert c.high < 0 and c.difference == pytest.approx(-1, abs=0.15)
    alone = statistics.paired_difference(values[0], values[2], groups)
    assert (alone.difference, alone.low, alone.high, alone.p) == pytest.approx(
        (found[1].difference, found[1].low, found[1].high, found[1].p)
    )
    assert statistics.indistinguishable_sets(names, found) == [("a", "b"), ("worse",)]
    assert statistics.letter_display(names, found) == {"a": "a", "b": "a", "worse": "b"}


def test_seeds_are_averaged_object_by_object() -> None:
    names, values, groups = _three()
    noise = np.random.default_rng(1).normal(0, 1, values.shape)
    seeds = np.stack([values + noise, values - noise], axis=1)
    expected = statistics.compare_all(names, values, groups, **FAST)
    for given_ in (seeds, [values[0], seeds[1], seeds[2]]):
        for one, other in zip(statistics.compare_all(names, given_, groups, **FAST), expected, strict=True):
            assert (one.difference, one.p) == pytest.approx((other.difference, other.p))
    np.testing.assert_array_equal(statistics.average_over_seeds([[1, NAN], [3, 4]]), [2, NAN])


def test_all_pairs_speak_of_the_same_objects() -> None:
    names, values, groups = _three()
    values[1, :4] = NAN
    found = statistics.compare_all(names, values, groups, **FAST)
    assert {(c.n, c.n_groups) for c in found} == {(56, 28)}


def test_sets_overlap_where_telling_apart_is_not_transitive() -> None:
    def pair(first: str, second: str, apart: bool) -> statistics.PairedComparison:
        return statistics.PairedComparison(first, second, 0, 0, 0, 0, 0, apart, 9, 9)

    names = ["p", "q", "r", "s"]
    found = [
        pair("p", "q", False),
        pair("q", "r", False),
        pair("p", "r", True),
        pair("p", "s", True),
        pair("q", "s", True),
        pair("s", "r", True),
    ]
    assert statistics.indistinguishable_sets(names, found) == [("p", "q"), ("q", "r"), ("s",)]
    assert statistics.letter_display(names, found) == {"p": "a", "q": "ab", "r": "b", "s": "c"}
    assert statistics.indistinguishable_sets([], []) == []


@settings(max_examples=40, deadline=None)
@given(arrays(np.bool_, (7, 7)))
def test_letters_are_shared_exactly_by_indistinguishable_pairs(apart) -> None:
    names = list("tuvwxyz")
    found = [
        statistics.PairedComparison(names[i], names[j], 0, 0, 0, 0, 0, bool(apart[i, j]), 9, 9)
        for i, j in combinations(range(7), 2)
    ]
    letters = statistics.letter_display(names, found)
    assert all(letters.values())
    for c in found:
        assert bool(set(letters[c.first]) & set(letters[c.second])) != c.distinguishable


def test_ranks_against_scipy() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (4, 12)).astype(float)  # with ties
    found = statistics.rank_test(list("abcd"), values)
    assert found.p == pytest.approx(friedmanchisquare(*values).pvalue)
    # Demšar 2006, table 5: q_0.05 = 2.569 for four methods
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 12)), abs=2e-3)
    assert sum(found.mean_ranks) == pytest.approx(10)
    assert statistics.rank_test(["a", "b"], np.ones((2, 5))).p == 1.0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="finite"):
        statistics.bootstrap_interval([1.0, np.inf])
    with pytest.raises(InputError, match="groups"):
        statistics.bootstrap_interval([1.0, 2.0], ["a"])
    with pytest.raises(InputError, match="level"):
        statistics.bootstrap_interval([1.0, 2.0], level=95)
    with pytest.raises(InputError, match="values"):
        statistics.bootstrap_interval([[1.0]])
    with pytest.raises(InputError, match=r"\(B,\)"):
        statistics.paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="finite"):
        statistics.paired_difference([np.inf], [np.inf])
    with pytest.raises(InputError, match="names"):
        statistics.compare_all(["a", "a"], np.ones((2, 3)))
    with pytest.raises(InputError, match="same objects"):
        statistics.compare_all(["a", "b"], [[1.0], [1.0, 2.0]])
    with pytest.raises(InputError, match="finite"):
        statistics.compare_all(["a", "b"], [[1.0], [np.inf]])
    with pytest.raises(InputError, match=r"0\.\.1"):
        statistics.holm([1.5])
    with pytest.raises(InputError, match="two methods"):
        statistics.rank_test(["a"], [[1.0]])
    with pytest.raises(InputError, match=r"\(P,\)"):
        statistics.holm([[0.1]])
    with pytest.raises(InputError, match=r"\(S, B\)"):
        statistics.average_over_seeds(np.zeros((1, 1, 1)))
    assert statistics.compare_all(["a"], [[1.0]]) == []
    assert np.isnan(statistics.rank_test(["a", "b"], [[NAN], [1.0]]).p)


def test_every_public_name_opens() -> None:
    for name in statistics.__all__:
        assert getattr(statistics, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = statistics.nothing_of_the_kind


def test_many_methods_can_still_be_told_apart() -> None:
    """The smallest p of 9999 draws, times 666 pairs, would be 0.067: nothing could ever differ."""
    values = np.arange(30)[:, None] + np.random.default_rng(0).normal(0, 0.1, (30, 40))
    found = statistics.compare_all([f"m{i}" for i in range(30)], values, np.arange(40))
    assert max(pair.p_holm for pair in found) < 0.02
