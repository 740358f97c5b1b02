"""Methods made of their parts: an expression, its estimator, and where in it each part sits.

Nothing is fitted here, and all that can be wrong with an expression is said before any data are seen.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import getattr_static, isfunction
from typing import Any, NoReturn

from sklearn.base import clone

from ..structures import Finder, PairMatcher
from .finder_parts import FINDERS
from .grammar import Experts, Method, Part, Start, Value, fault
from .making import Construction, Made, fit_kind, is_protocol, load, reduced
from .parts import Inside, Params, Row, Task
from .reading import read, task_of


def make(expression: str, task: str = "landmarks", quick: bool = False, **context: Any) -> Made:
    """The estimator of an expression with its places; ``context`` goes to every part that has it."""
    tree = read(expression, task)
    maker = _Maker(expression, task_of(task), quick, context)
    if isinstance(tree.start, Part) and task_of(task).find(task_of(task).pictures, tree.start.name):
        return maker.of_pictures(tree, tree.start)
    made = maker.method(tree)
    if tree.finder is None:
        return made
    finder = _Maker(expression, FINDERS, quick, context).start(tree.finder)
    whole = Construction(".detection:TopDown", ("finder", "detector"))
    made = whole.build({"finder": finder, "detector": made})
    made.places[""] = str(tree)
    return made


def make_method(expression: str, quick: bool = False) -> Any:
    """A fresh, unfitted detector; ``quick`` trains shorter where the expression says nothing.

    With a finder in front, ``"hog+svm/sdm"``, it is a :class:`~hybridkp.detection.TopDown` of whole pictures,
    which :func:`~hybridkp.evaluate.train` fits.

    Raises :class:`InputError` for whatever is wrong with the expression, and shows where.

    >>> make_method("sdm[alpha=0.2]").alpha
    0.2
    """
    return clone(make(expression, quick=quick).estimator)


def make_rule(rule: str, names: Sequence[str]) -> Any:
    """A rule of fusion such as ``"vote"`` over members that are not made here, for stored predictions.

    >>> len(make_rule("vote[guard=false]", ["theirs", "ours"]).members)
    2
    """
    made = clone(make(f"{rule}(mean-shape)").estimator)
    made.members = [(name, None) for name in names]
    return made


def make_finder(expression: str, quick: bool = False) -> Finder:
    """A fresh, unfitted finder of objects in whole pictures.

    >>> make_finder("hog+svm[window_cells=8]").window_cells
    8
    """
    finder: Finder = clone(make(expression, "finders", quick).estimator)
    return finder


def make_classifier(expression: str, quick: bool = False, **context: Any) -> Any:
    """A fresh, unfitted classifier of objects by one sense or several; ``context`` goes to every part that
    has it, where the expression says nothing.

    >>> make_classifier("svm[inputs=image:sound]").inputs
    ('image', 'sound')
    """
    return clone(make(expression, "classes", quick, **context).estimator)


def make_matcher(expression: str, n_points: int = 1024, random_state: int = 0) -> PairMatcher:
    """A fresh pair matcher with a budget of ``n_points`` per picture.

    >>> make_matcher("orb+beblid:net", n_points=512).rounds
    1
    """
    matcher: PairMatcher = make(expression, "points", n_points=n_points, random_state=random_state).estimator
    return matcher


def make_descriptor(expression: str, quick: bool = False) -> Any:
    """A descriptor by its part's name, or several side by side: ``"sift-hog"``."""
    tree = read(f"{expression}+svm").start
    maker = _Maker(expression, task_of("landmarks"), quick, {})
    first = tree.first if isinstance(tree, Experts) else ()
    return maker.rows(first).estimator


def make_refiner(name: str, quick: bool = False) -> Any:
    """The refiner of a step that has one, such as ``"cnn"``."""
    return make(f"mean-shape:{name}", quick=quick).estimator.refiner


class _Maker:
    def __init__(self, text: str, task: Task, quick: bool, context: Mapping[str, Any]) -> None:
        self.text, self.task, self.quick, self.context = text, task, quick, context

    def of_pictures(self, node: Method, start: Part) -> Made:
        """A start of whole pictures, and its steps as a chain of their own behind the points it gives."""
        found = self.part(self.task.by_slot[self.task.pictures][start.name], start, str(start))
        held = {"start": found}
        for step in node.steps:
            if self.task.by_slot["step"][step.name].changes:
                self.stop(
                    step.at,
                    f"'{step.name}' changes the crops, and '{start.name}' has seen the picture as it is",
                )
        if node.steps:
            given = Construction(".detection:GivenStart").build({})
            given.places[""] = str(start)
            held["detector"] = self.chain(node, given)
        whole = Construction(".detection:WholePicture", ("start", "detector"))
        made = whole.build(held)
        made.places[""] = str(node)
        return made

    def method(self, node: Method) -> Made:
        return self.chain(node, self.start(node.start))

    def chain(self, node: Method, made: Made) -> Made:
        """The steps of a method behind its start."""
        for i, part in enumerate(node.steps):
            row = self.task.by_slot["step"][part.name]
            self.check_needs(row, part.at, made)
            made = self.part(row, part, str(Method(node.start, node.steps[: i + 1])), [made])
        return made

    def start(self, node: Start, alone: bool = False) -> Made:
        """``alone``: a feature by itself, without the rule that matches its rows."""
        slots = self.task.by_slot
        if isinstance(node, Part):
            return self.part(slots[self.task.start][node.name], node, str(node), alone=alone)
        if isinstance(node, Experts):
            if node.last is None:
                return self.rows(node.first)
            row = slots[self.task.last][node.last.name]
            parts = [slots[self.task.first][part.name] for part in node.first]
            slow = row.slow or any(each.slow for each in parts)
            around: dict[str, Any] = {}
            for inside in _layers(row.inside):
                around |= inside.slow if slow else {}
            for each in parts:
                around |= each.around
            before = self.rows(node.first, light=not slow)
            return self.part(row, node.last, str(node), [before], node.reducer, around, alone)
        row = slots["rule"][node.part.name]
        for member in node.members if row.takes else ():
            if member.steps:
                self.stop(member.at, f"'{row.name}' joins {row.takes}s, and '{member}' is a chain")
        members = [self.start(m.start, alone=True) if row.takes else self.method(m) for m in node.members]
        weights = dict(node.part.options).get("weights", (1,) * len(members))
        for member, made, weight in zip(node.members, members, weights, strict=True):
            if weight != 0:  # of such a one nothing is read
                self.check_needs(row, member.at, made)
        return self.part(row, node.part, str(node), members, alone=alone)

    def rows(self, parts: Sequence[Part], light: bool = False) -> Made:
        """Descriptors, several side by side; or a detector."""
        rows = self.task.by_slot[self.task.first]
        made = [self.part(rows[part.name], part, str(part), alone=True, light=light) for part in parts]
        if len(made) == 1:
            return made[0]
        out = Construction(".descriptors:Concat", ("parts",)).build({"parts": [(m.name, m) for m in made]})
        out.places[""] = "-".join(m.text for m in made)
        return out

    def part(
        self,
        row: Row,
        part: Part,
        text: str,
        held: Sequence[Made] = (),
        reducer: Part | None = None,
        around: Params | None = None,
        alone: bool = False,
        light: bool = False,
    ) -> Made:
        """One part with all that it holds, in all that it works in."""
        shown = None if alone else self.shown(row, part)
        if shown is not None:
            part, inputs = shown
            made = self.part(row, part, str(part), held, reducer, around, light=light)
            seeing = Construction(".multimodal:Seeing", ("detector",))
            seeing.set("inputs", inputs, written=True)
            made = seeing.build({"detector": made})
            made.places[""] = text
            return made
        layers = list(_layers(row.inside))
        layers = layers[:-1] if alone else layers
        classes = [Construction(row.target, (row.holds,) if row.holds else (), row.space)]
        classes += [Construction(x.target, tuple(filter(None, (x.part, x.before))), x.space) for x in layers]
        for each in classes:
            each.values |= {key: value for key, value in self.context.items() if key in each.own}
        for layer, each in zip(layers, classes[1:], strict=True):
            own = {**layer.parameters, **(around or {})}
            each.values |= {key: value for key, value in own.items() if key in each.own}
        self.fill(row, part, classes, light)
        if not row.holds:
            made = classes[0].build({})
        elif row.holds in ("members", "parts"):
            made = classes[0].build({row.holds: [(m.name, m) for m in held] if row.named else list(held)})
        else:
            made = classes[0].build({row.holds: held[0]})
        if reducer is not None:
            made = reduced(made, self.part(self.task.by_slot["reducer"][reducer.name], reducer, str(reducer)))
        elif row.optional and not classes[0].written:
            made.estimator = None
        for layer, each in zip(layers, classes[1:], strict=True):
            made = each.build({layer.part: made} | ({layer.before: held[0]} if layer.before else {}))
        made.places[""] = text
        if not any(each.space for each in classes) and row.name not in made.untuned:
            made.untuned.append(row.name)
        return made

    def shown(self, row: Row, part: Part) -> tuple[Part, tuple[str, ...]] | None:
        """The part without its ``inputs``, and these, where a detector of pictures is shown them instead."""
        written = dict(part.options).get("inputs")
        if written is None or self.task.name != "landmarks" or row.holds or row.slots == self.task.pictures:
            return None
        targets = [row.target, *(layer.target for layer in _layers(row.inside))]
        if any("inputs" in Construction(target).own for target in targets):
            return None
        options = tuple(option for option in part.options if option[0] != "inputs")
        return replace(part, options=options), written if isinstance(written, tuple) else (written,)

    def fill(self, row: Row, part: Part, classes: Sequence[Construction], light: bool) -> None:
        """The row's parameters, then what is written, each to the first class that has it."""
        own = row.light if light else row.quick if self.quick else None
        for key, value in (row.parameters if own is None else own).items():
            found = next(((each, places) for each in classes if (places := each.find(key))), None)
            if found is not None:  # a feature by itself has no rule for its rows
                value = Method(Part(value)) if key in self.task.nested else value
                found[0].set(found[1][0], self.nested(key, value))
        for key, value in part.options:
            at = max(self.text.find(key, part.at), part.at)
            found = next(((each, places) for each in classes if (places := each.find(key))), None)
            if found is None:
                known = dict.fromkeys(leaf for each in classes for leaf in each.leaves())
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
                self.stop(at, f"'{part.name}' has no parameter '{key}'", hint if known else "it has none")
            each, places = found
            if len(places) > 1:
                self.stop(at, f"'{key}' of '{part.name}' could be {' or '.join(places)}")
            if not isinstance(value, Method):
                value, words = fit_kind(each.annotation(places[0]), value)
                if words:
                    self.stop(at, f"'{key}' of '{part.name}' takes {words}")
            each.set(places[0], self.nested(key, value), written=True)

    def nested(self, key: str, value: Value) -> Any:
        """A part among the values as :class:`Made`; anything else as it is."""
        if not isinstance(value, Method):
            return value
        slot = self.task.nested[key]
        if slot == "start":
            return self.method(value)
        if isinstance(value.start, Part):
            return self.part(self.task.by_slot[slot][value.start.name], value.start, str(value), alone=True)
        return self.start(value.start, alone=True)

    def check_needs(self, row: Row, at: int, made: Made) -> None:
        if row.needs is None or _keeps(made.estimator, row.needs[0]):
            return
        words = row.needs[1]
        starts = self.task.by_slot[self.task.start].values()
        experts = Experts((self.any(self.task.first),), None, self.any(self.task.last))
        tried: list[Start] = [*(Part(each.name) for each in starts), experts]
        alone = bool(row.takes)
        able = [str(x) for x in tried if _keeps(self.start(x, alone).estimator, row.needs[0])]
        steps = [each for each in self.task.by_slot["step"].values() if each is not row]
        able = able or [f"the step {each.name}" for each in steps if _keeps(load(each.target), row.needs[0])]
        where = "behind" if row.holds == "detector" else "around"
        hint = f"put it {where} {', '.join(able)}"
        self.stop(at, f"'{row.name}' needs {words}; '{made.text}' has none", hint)

    def any(self, slot: str) -> Part:
        return Part(next(iter(self.task.by_slot[slot])))

    def stop(self, at: int, message: str, hint: str = "") -> NoReturn:
        raise fault(self.text, at, message, hint)


def _keeps(estimator: Any, promise: str) -> bool:
    """Whether an attribute says so, or it is of a class, or has all methods of a protocol.

    A method of a protocol counts only where this very estimator has it (``available_if``), of a class only
    where all of its estimators do.
    """
    name, said, value = promise.partition("=")
    if said:
        return str(getattr(estimator, name, "")) == value
    kind = load(promise)
    names = [name for name in vars(kind) if not name.startswith("_")] if is_protocol(kind) else []
    if names and isinstance(estimator, type):
        return all(isfunction(getattr_static(estimator, name, None)) for name in names)
    return all(hasattr(estimator, name) for name in names) if names else isinstance(estimator, kind)


def _layers(inside: Inside | None) -> Iterator[Inside]:
    while inside is not None:
        yield inside
        inside = inside.inside
