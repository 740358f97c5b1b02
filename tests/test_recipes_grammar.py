"""The grammar of methods: text to tree and back, what the words mean, and one line for each mistake."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkp import recipes
from hybridkp.recipes.grammar import Experts, Method, Part, Rule, parse, split
from hybridkp.recipes.reading import TASKS
from hybridkp.structures import InputError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import methods_page

NAMES = ("a", "a-b", "b", "b2", "c", "c+d", "d", "e")

# --------------------------------------------------------------------------------------------
# text to tree and back
# --------------------------------------------------------------------------------------------


def _together(*parts: Part) -> bool:
    """Whether these, joined by - or +, do not read as a longer name."""
    return all(
        x.options or f"{x.name}{joint}{y.name}" not in NAMES for x, y in pairwise(parts) for joint in "-+"
    )


def _experts(part: st.SearchStrategy[Part]) -> st.SearchStrategy[Experts]:
    built = st.builds(Experts, _few(part, 1, 3), st.none() | part, part)
    return built.filter(lambda e: _together(*e.first, *filter(None, (e.reducer, e.last))))


def _few(strategy: Any, least: int = 0, most: int = 2) -> Any:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


def _parts(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Part]:
    options = st.dictionaries(st.sampled_from(["x", "y", "n_points", "C"]), value, max_size=2)
    return st.builds(Part, st.sampled_from(NAMES), options.map(lambda d: tuple(sorted(d.items()))))


_ONE = st.one_of(
    st.integers(-999, 999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([True, False, None, "a", "ratio", "soft-max"]),
)
_PLAIN = _parts(_ONE | _few(_ONE, 2, 3))
_NESTED = _parts(_ONE | st.builds(Method, _experts(_PLAIN)))
_SIMPLE = st.builds(Method, _NESTED | _experts(_PLAIN), _few(_PLAIN, most=1))
_RULES = st.builds(
    Rule, _PLAIN, _few(_SIMPLE | st.builds(Method, st.builds(Rule, _PLAIN, _few(_SIMPLE, 1))), 1)
)
_STARTS = _NESTED | _experts(_PLAIN) | _RULES
_METHODS = st.builds(Method, _STARTS, _few(_PLAIN), st.none() | _PLAIN | _RULES)


@settings(deadline=None, max_examples=60)
@given(_METHODS)
def test_a_tree_is_its_text(tree: Method) -> None:
    assert parse(str(tree), NAMES) == tree
    assert str(parse(str(tree), NAMES)) == str(tree)


@settings(deadline=None, max_examples=20)
@given(st.lists(_METHODS.map(str), min_size=1, max_size=4))
def test_a_list_is_split_at_its_outermost_commas(texts: list[str]) -> None:
    assert split(",".join(texts)) == texts


@settings(deadline=None)
@given(st.text(alphabet='ab-+:/()[]=,"\\ >1.x', max_size=30))
def test_any_text_is_a_tree_or_one_line(text: str) -> None:
    try:
        parse(text, NAMES)
    except InputError as error:
        assert "\n" not in str(error)


def test_the_longest_name_wins_and_spaces_do_not_matter() -> None:
    assert parse("a-b", NAMES) == Method(Part("a-b"))
    assert parse("b-a+d", NAMES) == Method(Experts((Part("b"), Part("a")), None, Part("d")))
    assert parse("c+d[x=1]", NAMES).start == Part("c+d", (("x", 1),))
    assert str(parse(' a [ y = "t, ]" , x = 1 : 2 ] : b ', NAMES)) == 'a[x=1:2,y="t, ]"]:b'


# --------------------------------------------------------------------------------------------
# what the words mean
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_part_names_are_unique_in_their_slot(task: str) -> None:
    slots = Counter((slot, row.name) for row in TASKS[task].rows for slot in row.slots.split())
    assert max(slots.values()) == 1
    assert len(set(recipes.method_names(task))) == len(recipes.method_names(task))


@pytest.mark.parametrize("task", TASKS)
def test_canonical_names_are_their_own(task: str) -> None:
    for line in recipes.methods_table(task):
        assert (
            recipes.canonical(line.definition, task) == line.definition == recipes.definition(line.name, task)
        )
        assert recipes.family(line.definition, task) == line.family
    assert set(recipes.DEFAULT) | set(recipes.QUICK) <= set(recipes.method_names())


def test_short_names_are_written_out_wherever_they_stand() -> None:
    assert recipes.canonical("heatmap-flip:sdm") == "heatmap:flip:sdm"
    assert recipes.canonical("given/vote( sdm-fast, heatmap-flip )") == recipes.canonical("vote")
    assert recipes.canonical("sdm[start=heatmap-flip,alpha=0.50]") == "sdm[alpha=0.5,start=heatmap:flip]"


def test_one_expression_is_one_estimator() -> None:
    sdm, step = recipes.make_method("sdm"), recipes.make_method("heatmap:sdm")
    assert type(sdm) is type(step) and type(step.start).__name__ == "HeatmapNet"
    assert repr(recipes.make_method("heatmap-flip:sdm")) == repr(recipes.make_method("heatmap:flip:sdm"))
    assert [name for name, _ in recipes.make_method("vote-3").members] == ["sdm", "heatmap:flip", "hog+svm"]


def test_brackets_reach_the_part_and_what_it_works_in() -> None:
    experts = recipes.make_method("sift[size_px=3]+forest[max_depth=4,n_negatives=8,scales=0.5]")
    assert experts.descriptor.size_px == 3.0 and experts.classifier.max_depth == 4
    assert (experts.n_negatives, experts.scales, experts.max_pictures) == (8, (0.5,), 800)
    assert recipes.make_method("hog+svm").max_pictures is None
    assert recipes.make_method("hog+svm[C=1]").classifier.C == 1
    reduced = recipes.make_method("sift-hog+pca[n_components=9]+svm")
    assert reduced.classifier[0].n_components == 9 and len(reduced.descriptor.parts) == 2
    refined = recipes.make_method("heatmap:cnn[cv=3,jitter=0.02]")
    assert (refined.cv, refined.refiner.jitter) == (3, 0.02)
    matcher = recipes.make_matcher("orb+beblid[n_bits=256,rule=ratio]:net[radius_px=9]", 300)
    assert matcher.radius_px == 9 and matcher.first.rule == "ratio" and matcher.second.n_points == 300
    assert matcher.first.feature.descriptor.n_bits == 256 and matcher.first.feature.detector.n_points == 300


def test_quick_gives_way_to_what_is_written() -> None:
    quick = recipes.make_method("heatmap[input_px=96]:cnn", quick=True)
    known = quick.get_params(deep=True)
    epochs = {name.split("__")[0]: known[name] for name in known if name.endswith("max_epochs")}
    assert known["detector__input_px"] == 96 and epochs == {"detector": 8, "refiner": 6}


def test_families_follow_from_the_parts() -> None:
    kinds = {
        "mean-shape": "floor",
        "hog+svm:subpixel": "classical",
        "direct:cnn": "deep",
        "sdm:cnn": "hybrid",
    }
    kinds |= {"hog-cnn+svm": "hybrid", "vote(sdm,hog+svm)": "classical", "average(heatmap,direct)": "deep"}
    assert {name: recipes.family(name) for name in kinds} == kinds
    points = {
        "orb+beblid": "classical",
        "sift:net": "hybrid",
        "rootsift:ecc": "control",
        "net:grid": "hybrid",
    }
    assert {name: recipes.family(name, "points") for name in points} == points
    assert len(recipes.describe_method("hog-surf+pca+forest:flip:cnn")) > 30


def test_what_may_be_tuned_follows_from_the_parts() -> None:
    space = recipes.search_space("vote(sdm,heatmap[sigma=1.2]:flip)")
    known = recipes.make_method("vote(sdm,heatmap[sigma=1.2]:flip)").get_params(deep=True)
    leaves = {name.rpartition("__")[2] for name in space}
    assert set(space) <= set(known) and {"alpha", "learning_rate"} <= leaves
    assert "sigma" not in leaves, "what is written out is not varied"
    assert {n.split("__")[0] for n in space} == {"sdm", "heatmap[sigma=1.2]:flip"}
    assert recipes.untuned("vote(sdm,heatmap:flip)") == ["flip", "vote"]
    assert recipes.search_space("sift+pca+forest")["classifier__classifier__max_depth"] == [8, 10, 14]
    assert set(recipes.tuned_names()) <= set(recipes.method_names())


def test_found_settings_reach_every_occurrence() -> None:
    found = {"heatmap": {"sigma": 0.5}, "heatmap-flip": {"detector__sigma": 0.7}, "sdm-fast": {"alpha": 7.0}}
    expression = "vote(sdm,average(heatmap,direct),heatmap:flip:tree)"
    made = recipes.with_settings(expression, recipes.make_method(expression), found)
    sdm, average, tree = (member for _, member in made.members)
    assert sdm.alpha == 7.0 and average.members[0][1].sigma == 0.5
    assert tree.detector.detector.sigma == 0.7, "what was found for the larger expression wins"


# --------------------------------------------------------------------------------------------
# mistakes
# --------------------------------------------------------------------------------------------

_MISTAKES = {
    "heatmap:filp": r"character 9: there is no step 'filp': did you mean 'heatmap:flip'\?",
    "hog+svn": r"character 5: there is no classifier 'svn': did you mean 'hog\+svm'\?",
    "heatmap-flop": "unknown method 'heatmap-flop': did you mean 'heatmap-flip'",
    "sdm[alhpa=3]": "character 5: 'sdm' has no parameter 'alhpa': did you mean 'alpha'",
    "heatmap:sdm[sigma=1]": "'sdm' has no parameter 'sigma'",
    "heatmap[input_px=ten]": "'input_px' of 'heatmap' takes a whole number",
    "heatmap[color=3]": "takes true or false",
    "sdm[alpha=none]": "takes a number",
    "sdm[maps=heatmap]": "'heatmap' is a start, no maps",
    "sdm[maps=3]": "'maps' takes a part, such as encoder",
    "sdm[alpha=hog+svm]": "'alpha' takes no part",
    "sdm[rings=3]": "what cannot be written here",
    "sdm:tree": "'tree' needs score maps; 'sdm' has none: put it behind hough-forest, patch-cnn, heatmap",
    "vote(sdm,sdm:tree)": "character 14: 'tree' needs score maps",
    "hog+svm:flip:tree": "'tree' needs score maps; 'hog\\+svm:flip' has none",
    "hog+svm:cnn:tree": "'tree' needs score maps; 'hog\\+svm:cnn' has none",
    "hog+svm+cnn": r"'cnn' is a step: steps are joined by ':': hog\+svm:cnn",
    "sdm+cnn": "joined by ':': sdm:cnn",
    "heatmap>sdm": "character 8: steps are joined by ':': heatmap:sdm",
    "hog": r"'hog' is a descriptor: it needs a classifier: hog\+svm",
    "hog-sift": r"descriptors need a classifier: hog-sift\+svm",
    "svm+hog": "'svm' is a classifier, no descriptor",
    "flip": "'flip' is a step, no method",
    "sdm:heatmap": "'heatmap' is a start, no step",
    "gated": r"'gated' has no members: gated\(a,b\)",
    "vote()": r"'vote' has no members",
    "vote(sdm,sdm-fast)": "'sdm' stands twice",
    "vote[guard=true]": r"'vote' is short for vote\(sdm,heatmap:flip\)",
    "average[weights=1:2:3](sdm,heatmap)": "has 2 members: give as many weights",
    "yolo/heatmap": "there is no finder 'yolo'",
    "vote(sdm,heatmap": r"character 5: this '\(' is never closed",
    "vote(sdm]": r"the '\(' of character 5 is still open",
    "heatmap[sigma=1": r"this '\[' is never closed",
    "heatmap]": "character 8: ']'",
    "sdm)": r"no '\(' is open",
    "heatmap[]": "a parameter is missing",
    "heatmap[sigma]": "'sigma' has no value",
    "heatmap[sigma=1,sigma=2]": "'sigma' is given twice",
    'heatmap[device="cpu]': "the text in quotes does not end",
    "": "a name is missing",
    "sdm:": "a name is missing",
    "sdm" + " " * 2000: "has 2003 characters, 2000 are the most",
    "vote(" * 17 + "sdm": "more than 16 levels",
    ":".join(["sdm", *["flip"] * 64]): "more than 64 parts",
    "vote(" + ",".join(f"vote(vote,sdm[alpha={i}])" for i in range(15)) + ")": "more than 64 parts, with",
}


@pytest.mark.parametrize(("expression", "message"), _MISTAKES.items(), ids=lambda text: text[:40])
def test_a_mistake_is_one_line_that_shows_where(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        recipes.make_method(expression)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("expression", "message"),
    {
        "rootsif": "did you mean 'rootsift'",
        "rootsift>net": "joined by ':': rootsift:net",
        "surf+grid": "'grid' is a step: steps are joined by ':': surf:grid",
        "orb-sift+beblid": r"one detector and one descriptor are joined by '\+'",
        "union(rootsift:net,net)": "'union' needs single features; 'rootsift:net' has none",
        "concat(rootsift:net,net)": "'concat' joins features, and 'rootsift:net' is a chain",
        "concat(akaze,net)": "'concat' needs rows of numbers; 'akaze' has none: put it around sift",
        "concat(rootsift[rule=gms],net)": "'rootsift' has no parameter 'rule'",
        "heatmap": "unknown method 'heatmap'",
    }.items(),
)
def test_mistakes_with_interest_points(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipes.make_matcher(expression)


def test_a_mistake_needs_no_text() -> None:
    for wrong in (None, 3, ["sdm"]):
        with pytest.raises(InputError, match="a method is named by a text"):
            recipes.make_method(wrong)
    with pytest.raises(InputError, match="unknown task"):
        recipes.method_names("sound")


# --------------------------------------------------------------------------------------------
# names before the grammar
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", methods_page.old_names(), ids=lambda row: row["name"])
def test_old_names_are_expressions_that_make_the_same(row: dict[str, Any]) -> None:
    assert recipes.canonical(row["expression"], row["task"]) == row["expression"]
    assert methods_page.apart(row) == row.get("differs", {}), "equal, or it is said why not"
    assert bool(row.get("differs")) == bool(row.get("why_not"))


def test_the_page_is_made_from_the_parts() -> None:
    assert methods_page.PAGE.read_text() == methods_page.page(), "run python benchmarks/methods_page.py"


@pytest.mark.parametrize(
    ("expression", "task", "words"),
    [
        ("heatmap[schedule=3]", "landmarks", "takes what cannot be written here: give its own parameters"),
        ("sift[rul=ratio]", "points", "character 6: 'sift' has no parameter 'rul': did you mean 'rule'?"),
        ("net[x=1]", "points", "character 5: 'net' has no parameter 'x': there are "),
        (
            "orb+beblid[rule=rati]:net",
            "points",
            "'rule' of 'beblid' takes mutual or ratio or gms: did you mean",
        ),
    ],
)
def test_wrong_parameters_are_told_with_their_place(expression, task, words):
    make = recipes.make_method if task == "landmarks" else partial(recipes.make_matcher, n_points=64)
    with pytest.raises(InputError) as error:
        make(expression)
    assert words in str(error.value)
