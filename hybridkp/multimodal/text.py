"""Text as rows of numbers, and lines of text that lie in a picture.

Strings (B,) go in, rows (B, D) come out.  Lines are (x, y, text) with places rounded to a coarse grid: where
a printed line ends to the pixel is what a detector is asked for, so it is never told.  Files are elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from ..structures import Array, InputError


class TextRows(TransformerMixin, BaseEstimator):
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

    def __init__(self, pieces: tuple[int, int] | None = (1, 4), n_features: int = 0, most: int = 2000):
        self.pieces = pieces
        self.n_features = n_features
        self.most = most

    def fit(self, texts: Any, y: Any = None) -> TextRows:
        """Learn the vocabulary of (B,) texts and how rare its words are."""
        said = [text for text in texts_of(texts) if text]
        if not said:
            raise InputError("every text is empty: leave text out of the inputs")
        how: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\S+"}
        if self.pieces is not None:
            low, high = (int(n) for n in self.pieces)
            if not 1 <= low <= high:
                raise InputError(f"pieces must be the shortest and the longest length, got {self.pieces}")
            how = {"analyzer": "char_wb", "ngram_range": (low, high)}
        if self.n_features:
            self.vectorizer_ = HashingVectorizer(n_features=self.n_features, alternate_sign=True, **how)
        else:
            self.vectorizer_ = TfidfVectorizer(max_features=self.most, sublinear_tf=True, **how)
        self.vectorizer_.fit(said)
        return self

    def transform(self, texts: Any) -> Array:
        """(B,) texts -> (B, D) float32, unit length."""
        said = texts_of(texts)
        rows = self.vectorizer_.transform(said).toarray().astype(np.float32)
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
