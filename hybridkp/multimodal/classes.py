"""Which class an object is of, from rows of one sense or several: classifiers, and their votes.

A :class:`~hybridkp.structures.Batch` and labels (B,) go in, classes (B,) and probabilities (B, C) come out.
Rows of several senses side by side are early fusion; votes over classifiers of one sense each are late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from ..datasets.splits import group_folds
from ..structures import Array, InputError, NamedMembers, as_batch
from .rows import SenseRows
from .sound import varied_sound

FOLDS = 3  #: of groups, for what is learned from predictions
SHARPNESS = np.geomspace(0.1, 30, 26)  #: factors of decision values that are tried
FLOOR = 1e-3  #: of a probability in a product: nobody is certain enough to overrule all others
HOW = ("average", "product", "gated", "stack")


@dataclass(eq=False, repr=False)
class SenseClassifier(BaseEstimator):
    """A classifier on the rows of one sense or several.

    Parameters
    ----------
    classifier : scikit-learn classifier; None = SVM with a Gaussian kernel
    inputs : modalities whose rows it sees, see :class:`.SenseRows`
    strange : see :class:`.SenseRows`
    copies : of each training object, whose sound is varied (:func:`.varied_sound`)

    Notes
    -----
    Probabilities of a classifier that has only decision values are their softmax; its sharpness is the one
    that makes predictions on held-out groups most likely.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat(["go", "stop"], 20)
    >>> batch = {"heat": rng.normal(0, 1, (40, 3)) + 3 * (label == "go")[:, None]}
    >>> model = SenseClassifier(inputs="heat").fit(batch, label)
    >>> model.predict(batch)[[0, -1]].tolist()
    ['go', 'stop']
    """

    classifier: Any = None
    inputs: Sequence[str] | str = ("image",)
    strange: float | None = 2.0
    copies: int = 0

    def fit(self, batch: Any, labels: ArrayLike, *, groups: ArrayLike | None = None) -> SenseClassifier:
        """Learn from a batch of B rows, labels (B,) of two classes at least, and groups (B,)."""
        batch = as_batch(batch)
        labels = _labels(labels, batch)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise InputError(f"all training objects are {self.classes_[0]!r}: nothing to tell apart")
        if self.copies:
            batch, labels, groups = self._with_copies(batch, labels, groups)
        self.rows_ = SenseRows(self.inputs, strange=self.strange)
        rows = self.rows_.fit_transform(batch)
        self.classifier_ = self._fresh().fit(rows, labels)
        self.sharpness_ = 1.0
        if not hasattr(self.classifier_, "predict_proba"):
            self.sharpness_ = self._sharpness(rows, labels, groups)
        return self

    def _with_copies(self, batch: Any, labels: Array, groups: ArrayLike | None) -> tuple[Any, Array, Array]:
        if self.copies < 0 or "sound" not in ([self.inputs] if isinstance(self.inputs, str) else self.inputs):
            raise InputError(f"copies={self.copies}: a number of copies of sound, which inputs must name")
        n = len(labels)
        again = np.tile(np.arange(n), 1 + self.copies)
        sound = [batch["sound"], *(varied_sound(batch["sound"], i) for i in range(self.copies))]
        names = np.arange(n) if groups is None else np.asarray(groups)
        return batch[again].replace(sound=np.concatenate(sound)), labels[again], names[again]

    def _fresh(self) -> Any:
        return SVC(C=10.0) if self.classifier is None else clone(self.classifier)

    def _sharpness(self, rows: Array, labels: Array, groups: ArrayLike | None) -> float:
        names = np.arange(len(labels)) if groups is None else np.asarray(groups)
        if len(set(names.tolist())) < 2:
            return 1.0
        loss = np.zeros(len(SHARPNESS))
        for train, test in group_folds(names, FOLDS):
            known = np.unique(labels[train])
            judged = test[np.isin(labels[test], known)]
            if len(known) < 2 or not len(judged):
                continue
            model = self._fresh().fit(rows[train], labels[train])
            value = _decisions(model, rows[judged])
            right = np.searchsorted(known, labels[judged])
            for i, factor in enumerate(SHARPNESS):
                loss[i] -= log_softmax(factor * value, axis=1)[np.arange(len(judged)), right].sum()
        return float(SHARPNESS[loss.argmin()]) if loss.any() else 1.0

    def predict(self, batch: Any) -> Array:
        """(B,) classes."""
        return self.classes_[self.predict_proba(batch).argmax(1)]

    def predict_proba(self, batch: Any) -> Array:
        """(B, C) probabilities in the order of ``classes_``; all alike where no sense says anything."""
        probability, there = self.said(batch)
        probability[~there] = 1 / len(self.classes_)
        return probability

    def said(self, batch: Any) -> tuple[Array, Array]:
        """Probabilities (B, C), and (B,) bool: whether any of its senses says something."""
        check_is_fitted(self, "classifier_")
        if not len(as_batch(batch)):
            raise InputError("the batch is empty")
        rows, there = self.rows_.rows_and_presence(batch)
        if hasattr(self.classifier_, "predict_proba"):
            found = self.classifier_.predict_proba(rows)
        else:
            found = softmax(self.sharpness_ * _decisions(self.classifier_, rows), axis=1)
        return np.asarray(found, float), np.asarray(there.any(axis=1))


class ClassVote(NamedMembers, BaseEstimator):
    """Several classifiers, each of its own senses, and one answer: late fusion.

    Parameters
    ----------
    members : sequence of (name, classifier)
    how : "average" of the probabilities; their "product", as if the senses erred independently; "gated", the
        average weighted by how sure each member is here; "stack", a logistic regression on all members'
        log-probabilities, learned on groups that they had not seen

    Notes
    -----
    A member of which no sense says anything about an object (missing, silent, broken) has no vote there.
    """

    def __init__(self, members: Sequence[tuple[str, Any]], how: str = "average"):
        self.members = members
        self.how = how

    def fit(self, batch: Any, labels: ArrayLike, *, groups: ArrayLike | None = None) -> ClassVote:
        """Fit every member, and what the vote learns; as of :meth:`SenseClassifier.fit`."""
        if self.how not in HOW:
            raise InputError(f"how must be one of {', '.join(HOW)}, got {self.how!r}")
        if not self.members:
            raise InputError("a vote needs members")
        batch = as_batch(batch)
        labels = _labels(labels, batch)
        self.classes_ = np.unique(labels)
        if self.how == "stack":
            self._learn(batch, labels, np.arange(len(labels)) if groups is None else np.asarray(groups))
        self.members_ = [clone(m).fit(batch, labels, groups=groups) for _, m in self.members]
        return self

    def _learn(self, batch: Any, labels: Array, groups: Array) -> None:
        n, c = len(labels), len(self.classes_)
        held = np.full((len(self.members), n, c), 1 / c)
        there = np.zeros((len(self.members), n), bool)
        for train, test in group_folds(groups, FOLDS):
            if len(np.unique(labels[train])) < 2:
                continue
            for m, (_, member) in enumerate(self.members):
                model = clone(member).fit(batch[train], labels[train], groups=groups[train])
                found, said = model.said(batch[test])
                known = np.searchsorted(self.classes_, model.classes_)
                held[m][test] = FLOOR
                held[m][np.ix_(test, known)] = found
                there[m][test] = said
        self.stacker_ = LogisticRegression(C=1.0, max_iter=1000).fit(_stacked(held, there), labels)

    def predict(self, batch: Any) -> Array:
        """(B,) classes."""
        return self.classes_[self.predict_proba(batch).argmax(1)]

    def predict_proba(self, batch: Any) -> Array:
        """(B, C) probabilities in the order of ``classes_``."""
        return self.said(batch)[0]

    def said(self, batch: Any) -> tuple[Array, Array]:
        """Probabilities (B, C), and (B,) bool: whether any member has a vote."""
        check_is_fitted(self, "members_")
        batch = as_batch(batch)
        pairs = [member.said(batch) for member in self.members_]
        found, there = np.stack([p for p, _ in pairs]), np.stack([t for _, t in pairs])
        heard = np.asarray(there.any(axis=0))
        if self.how == "stack":
            return self.stacker_.predict_proba(_stacked(found, there)), heard
        weight = there.astype(float)
        if self.how == "gated":
            c = found.shape[2]
            doubt = -(found * np.log(np.maximum(found, 1e-12))).sum(2) / np.log(c)
            weight *= np.maximum(1 - doubt, 1e-3)
        weight = np.where(weight.sum(0) > 0, weight, 1.0)
        if self.how == "product":
            logs = (weight[:, :, None] * np.log(np.maximum(found, FLOOR))).sum(0)
            return softmax(logs, axis=1), heard
        return (weight[:, :, None] * found).sum(0) / weight.sum(0)[:, None], heard


def _stacked(found: Array, there: Array) -> Array:
    """(M, B, C) probabilities as rows (B, M C) of centred logarithms; 0 where a member has no vote."""
    logs = np.log(np.maximum(found, FLOOR))
    logs -= logs.mean(axis=2, keepdims=True)
    logs[~there] = 0
    return np.concatenate(list(logs), axis=1)


def _decisions(model: Any, rows: Array) -> Array:
    """(B, C) decision values, of two classes as well."""
    value = np.asarray(model.decision_function(rows), float)
    return np.stack([-value, value], axis=1) if value.ndim == 1 else value


def _labels(labels: ArrayLike, batch: Any) -> Array:
    names = np.asarray(labels).astype(str)
    if names.shape != (len(batch),):
        raise InputError(f"labels {names.shape} must be one for each of the {len(batch)} rows")
    return names
