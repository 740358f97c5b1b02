"""What a detector can say of how it came to its points: stages, voices, contributions, messages.

Plain tuples of arrays that :mod:`.protocols` promises and the room ``explain`` shows; nothing is computed.
Letters: **B** pictures, **K** landmarks, **N** places.
"""

from __future__ import annotations

from typing import NamedTuple

from .base import Array


class Stage(NamedTuple):
    """Where the points were when one part of a method had spoken."""

    name: str  #: of the part, for people
    xy: Array  #: (B, K, 2) in crop px


class Voice(NamedTuple):
    """What one member of a combination said, and how much it counted."""

    name: str
    xy: Array  #: (B, K, 2) in crop px
    weight: Array  #: (B, K); of one landmark in one picture all members' sum to 1


class Contributions(NamedTuple):
    """A number taken apart into what each place of one crop added to it: exact, ``rest`` included."""

    what: str  #: the number, for people
    xy: Array  #: (N, 2) centres of the places in crop px
    value: Array  #: (N,) what each added
    side_px: float  #: of a place
    rest: float  #: what no place is responsible for: a constant, or the mean of the training

    @property
    def total(self) -> float:
        """The number itself."""
        return float(self.value.sum()) + self.rest


class Message(NamedTuple):
    """What one neighbour in a tree of landmarks says of where a landmark is."""

    landmark: int  #: the neighbour
    map: Array  #: (h, w), of sum 1
    moved: Array  #: (2,) crop px: the point, minus where it would be without this message
