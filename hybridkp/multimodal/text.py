"""Text as rows of numbers, and lines of text that lie in a picture.

Strings (B,) go in, rows (B, D) come out.  Lines are (x, y, text) with places rounded to a coarse grid: where
a printed line ends to the pixel is what a detector is asked for, so it is never told.  Files are elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from ..imaging.geometry import rescale
from ..structures import Array, InputError

#: pieces of lines of text
_LINE: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 4)}


class _Pieces:
    """TF-IDF of texts, kept as words and their rarity, which a model file takes."""

    def _learn_pieces(self, said: list[str], most: int, how: dict[str, Any]) -> Any:
        """Learn the vocabulary, and give the texts' rows."""
        made = TfidfVectorizer(max_features=most, sublinear_tf=True, **how)
        rows = made.fit_transform(said)
        self.vocabulary_, self.idf_ = made.get_feature_names_out(), made.idf_
        self._vectorizer = made
        return rows

    def _pieces_of(self, said: list[str], how: dict[str, Any]) -> Any:
        """(B, D) sparse rows."""
        if not hasattr(self, "_vectorizer"):  # it comes from a file
            words = {word: i for i, word in enumerate(self.vocabulary_.tolist())}
            self._vectorizer = TfidfVectorizer(vocabulary=words, sublinear_tf=True, **how)
            self._vectorizer.idf_ = self.idf_
        return self._vectorizer.transform(said)


@dataclass(eq=False, repr=False)
class TextRows(_Pieces, TransformerMixin, BaseEstimator):
    """A row for each text: frequencies of words, of pieces of words, or both, weighted by rarity (TF-IDF).

    Parameters
    ----------
    pieces : lengths of the pieces of words (character n-grams), shortest and longest; None = whole words
        and pairs of them
    n_features : 0 learns a vocabulary, TF-IDF; otherwise pieces are hashed into so many columns, and a text
        of any language or with any misspelling has a row without a vocabulary
    most : words and pieces in the vocabulary at most, the most frequent ones

    Notes
    -----
    An empty text says nothing: its row is NaN, as for any sense that is missing.

    Examples
    --------
    >>> rows = TextRows(pieces=None).fit_transform(["bin blue", "set blue", ""])
    >>> rows.shape, np.isnan(rows[2]).all()
    ((3, 5), np.True_)
    """

    pieces: tuple[int, int] | None = (1, 4)
    n_features: int = 0
    most: int = 2000

    def fit(self, texts: Any, y: Any = None) -> TextRows:
        """Learn the vocabulary of (B,) texts and how rare its words are."""
        said = [text for text in texts_of(texts) if text]
        if not said:
            raise InputError("every text is empty: leave text out of the inputs")
        how = self._how()
        if not self.n_features:
            self._learn_pieces(said, self.most, how)
        return self

    def _how(self) -> dict[str, Any]:
        if self.pieces is None:
            return {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\S+"}
        low, high = (int(n) for n in self.pieces)
        if not 1 <= low <= high:
            raise InputError(f"pieces must be the shortest and the longest length, got {self.pieces}")
        return {"analyzer": "char_wb", "ngram_range": (low, high)}

    def transform(self, texts: Any) -> Array:
        """(B,) texts -> (B, D) float32, unit length."""
        said = texts_of(texts)
        if self.n_features:
            found = HashingVectorizer(n_features=self.n_features, **self._how()).transform(said or [""])
        else:
            found = self._pieces_of(said or [""], self._how())
        rows = found.toarray().astype(np.float32)[: len(said)]
        rows[[not text for text in said]] = np.nan
        return rows


def texts_of(texts: Any) -> list[str]:
    """(B,) texts without space around them; None and NaN are empty.

    >>> texts_of(["  a b ", None])
    ['a b', '']
    """
    column = np.asarray(texts, object)
    if column.ndim != 1:
        raise InputError(f"text must be one string a row, got an array of shape {column.shape}")
    return ["" if t is None or t != t else " ".join(str(t).split()) for t in column.tolist()]


class WordRows(TransformerMixin, BaseEstimator):
    """A coarse map of what is written where: each cell of a grid holds the sum of its lines' hashed pieces.

    Parameters
    ----------
    cells : along the map's longer side; a line counts in the cell of its centre
    n_features : columns that pieces of words are hashed into, for each cell
    """

    def __init__(self, cells: int = 16, n_features: int = 32):
        self.cells = cells
        self.n_features = n_features

    def fit(self, words: Any, y: Any = None) -> WordRows:
        """Note how far lines reach, px: the map's extent."""
        if self.cells < 1 or self.n_features < 2:
            raise InputError(
                f"WordRows: need cells >= 1, n_features >= 2, got {self.cells}, {self.n_features}"
            )
        far = [max(line[2:4]) for lines in words for line in lines]
        if not far:
            raise InputError("words: no training picture has a line of text")
        self.side_ = float(max(max(far), 1.0))
        return self

    def transform(self, words: Any) -> Array:
        """Lines of B pictures -> (B, cells² n_features) float32; NaN where there is no text."""
        hashed = HashingVectorizer(n_features=self.n_features, analyzer="char_wb", ngram_range=(2, 4))
        out = np.zeros((len(words), self.cells, self.cells, self.n_features), np.float32)
        for row, lines in zip(out, words, strict=True):
            if not lines:
                row[:] = np.nan
                continue
            box = np.array([line[:4] for line in lines], float).reshape(-1, 2, 2)
            place = np.clip(box.mean(1) / self.side_ * self.cells, 0, self.cells - 1).astype(int)
            pieces = hashed.transform([form(line[4]) for line in lines]).toarray()
            np.add.at(row, (place[:, 1], place[:, 0]), pieces.astype(np.float32))
        return out.reshape(len(words), -1)


@dataclass(eq=False, repr=False)
class LineRows(_Pieces, BaseEstimator):
    """A row for each line of text in a picture: its words, its neighbours' words, and where it stands.

    Parameters
    ----------
    cells : places are rounded to the middles of so many cells along the crop's longer side; 0 takes boxes as
        they are, their sizes too: a control that shows what exact boxes give away
    n_topics : numbers that a line's pieces of words are summed up in (latent semantic analysis)
    queries : words to look for, such as landmarks' own names: how like each one a line and its neighbours are
    random_state : of the summing up

    Notes
    -----
    Digits are all the same sign, so that an amount or a date is recognised by its form; the value itself
    stands in how large it is beside the picture's largest number.

    References
    ----------
    S. Deerwester, S. Dumais, G. Furnas, T. Landauer, R. Harshman, Indexing by latent semantic analysis, JASIS
    1990.
    """

    cells: int = 40
    n_topics: int = 32
    queries: tuple[str, ...] = ()
    random_state: int = 0

    def fit(self, words: Any, size_hw: tuple[int, int]) -> LineRows:
        """Learn the vocabulary from the lines (B,) of crops of one size (h, w)."""
        if self.cells < 0 or self.n_topics < 1:
            raise InputError(f"LineRows: need cells >= 0, n_topics >= 1, got {self.cells}, {self.n_topics}")
        self.size_hw_ = (int(size_hw[0]), int(size_hw[1]))
        said = [form(line[4]) for lines in words for line in lines]
        if not any(said):
            raise InputError("words: no training picture has a line of text")
        rows = self._learn_pieces(said, 4000, _LINE)
        n = min(self.n_topics, rows.shape[1] - 1, max(rows.shape[0] - 1, 1))
        self.topics_ = np.zeros((1, rows.shape[1]))
        if n >= 1:
            self.topics_ = TruncatedSVD(n, random_state=self.random_state).fit(rows).components_
        return self

    def transform(self, lines: Any) -> tuple[Array, Array]:
        """Of one picture's N lines: rows (N, D) float32 and places (N, 2) in crop px."""
        box = np.array([line[:4] for line in lines], float).reshape(-1, 4)
        centre = box.reshape(-1, 2, 2).mean(axis=1)
        if self.cells:
            step = max(self.size_hw_) / self.cells
            centre = rescale(np.rint(rescale(centre, 1 / step)), step)
            box = np.zeros_like(box)
        texts = [line[4] for line in lines]
        pieces = self._pieces_of([form(t) for t in texts], _LINE)
        own = pieces @ self.topics_.T
        above, below, left = _neighbours(centre)
        near = [_at(own, n)[:, : max(1, own.shape[1] // 2)] for n in (above, below, left)]
        alike = self._alike(pieces)
        sizes = box[:, 2:] - box[:, :2]
        parts = [
            own,
            *near,
            alike,
            _at(alike, above),
            _at(alike, left),
            _shapes(texts, centre, self.size_hw_),
            sizes,
        ]
        return np.hstack(parts).astype(np.float32), centre

    def _alike(self, pieces: Any) -> Array:
        """(N, Q) cosine similarity of the lines' pieces of words with the queries'."""
        if not self.queries:
            return np.zeros((pieces.shape[0], 0))
        wanted = self._pieces_of([form(q.replace("_", " ")) for q in self.queries], _LINE)
        return np.asarray((pieces @ wanted.T).todense())


def form(text: str) -> str:
    """A line as it is compared: lower case, every digit a 0, single spaces.

    >>> form(" Date:  25/12/2018 ")
    'date: 00/00/0000'
    """
    return " ".join(re.sub(r"\d", "0", str(text)).lower().split())


def _neighbours(centre: Array) -> tuple[Array, Array, Array]:
    """Of N places: the line before and after in reading order, and the one to the left; -1 = none."""
    n = len(centre)
    order = np.lexsort((centre[:, 0], centre[:, 1]))
    above, below, left = (np.full(n, -1) for _ in range(3))
    above[order[1:]], below[order[:-1]] = order[:-1], order[1:]
    same = np.flatnonzero(np.diff(centre[order, 1]) == 0)
    left[order[same + 1]] = order[same]
    return above, below, left


def _at(rows: Array, index: Array) -> Array:
    """Rows at an index, 0 where it is -1."""
    return np.where(index[:, None] >= 0, rows[index], 0.0) if len(rows) else rows


def _shapes(texts: list[str], centre: Array, size_hw: tuple[int, int]) -> Array:
    """(N, 10): place, order, length, kinds of signs, and numbers beside the picture's largest."""
    n = len(texts)
    signs = np.array([max(len(t), 1) for t in texts], float)
    digits, letters = (
        np.array([sum(map(kind, t)) for t in texts]) / signs for kind in (str.isdigit, str.isalpha)
    )
    value = np.array([_number(t) for t in texts])
    largest = max(float(np.nanmax(value)) if np.isfinite(value).any() else 0.0, 1e-9)
    share = np.where(np.isfinite(value), value / largest, -1.0)
    again = np.array([sum(t == u for u in texts) for t in texts], float)
    rank = np.argsort(np.argsort(centre[:, 1], kind="stable"), kind="stable")
    place = centre / np.array(size_hw[::-1])
    return np.column_stack(
        [place, rank / max(n - 1, 1), rank, n - rank, np.full(n, n), signs, digits, letters, share, again]
    )


def _number(text: str) -> float:
    """The amount that a line is, such as "RM 1,234.50"; NaN for anything else."""
    found = re.fullmatch(r"[^\d]{0,6}(\d{1,3}(?:,\d{3})+|\d{1,9})([.,]\d{2})[^\d]{0,4}", text.strip())
    return float(found[1].replace(",", "") + found[2].replace(",", ".")) if found else float("nan")
