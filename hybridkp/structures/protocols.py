"""The promises that rooms make to each other, as :class:`typing.Protocol`: nobody inherits from them.

Letters: **B** pictures, **K** landmarks, **N** points, **D** features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import ArrayLike

from .annotated import Instance, Sample
from .base import Array
from .causes import Contributions, Message, Stage, Voice
from .keypoints import Keypoints, Pyramid

if TYPE_CHECKING:  # pragma: no cover
    from typing import Self


def supports(value: Any, promise: Any) -> bool:
    """Whether an object keeps one of the promises below: every public name of it is there.

    Not ``isinstance``: that looks at the class, which cannot tell a method that depends on what is inside
    (scikit-learn's ``available_if``).
    """
    return all(hasattr(value, name) for name in vars(promise) if not name.startswith("_"))


@runtime_checkable
class Descriptor(Protocol):
    """pyramid + points -> rows; row i always belongs to keypoint i, also at borders."""

    @property
    def n_features(self) -> int: ...

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """(N, D) float32."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Crops -> landmarks, by scikit-learn's rules (``clone``, ``cross_val_score``, ...).

    ``images`` is (B, H, W) or (B, H, W, 3) uint8, a list of such crops of one size, or a
    :class:`~hybridkp.structures.Batch` of them with further modalities, which a detector that knows
    pictures only leaves alone; ``xy`` is (B, K, 2) in crop px with NaN = not labelled.  Every ``fit``
    takes the same two optional facts about the data and ignores those it has no use for: ``groups``
    (B,), so that inner splits never cut a group, and ``flip`` (K,), so that pictures can be mirrored.
    """

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> Self: ...

    def predict(self, images: Any) -> Array:
        """(B, K, 2) float32 in crop px."""
        ...

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and (B, K) float32 confidence in 0..1."""
        ...

    def score(self, images: Any, xy: ArrayLike) -> float: ...

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def set_params(self, **params: Any) -> Any: ...


@runtime_checkable
class Refiner(Protocol):
    """Moves given points; learns from starts that no detector saw in training."""

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        start: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> Self: ...

    def refine(self, images: Any, start: ArrayLike) -> tuple[Array, Array]:
        """(B, K, 2) float32 and (B, K) float32 confidence in 0..1."""
        ...


@runtime_checkable
class Finder(Protocol):
    """Says where in a picture objects are: the first half of a top-down detector."""

    def fit(self, samples: Iterable[Sample]) -> Self: ...

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) x, y, width, height in px and scores (N,) in 0..1, best first; N may be 0.

        ``image`` is (h, w[, 3]) uint8; ``name`` is the picture's file or sample, where it is known, for
        finders that look boxes up.
        """
        ...


@runtime_checkable
class PictureDetector(Protocol):
    """A whole picture in, all objects out."""

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        """The objects of ``image`` (h, w[, 3]), or of modality -> array; points in picture px."""
        ...


@runtime_checkable
class LocalFeature(Protocol):
    """Interest points with rows (N, D), row i for keypoint i; ``norm`` is "L2" or "HAMMING".

    Keypoints come best first; a blank picture gives none.
    """

    @property
    def norm(self) -> str: ...

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]: ...


@runtime_checkable
class PointDetector(Protocol):
    """A local feature that gives its points alone."""

    def detect(self, image: Array) -> Keypoints:
        """N points, best first."""
        ...


@runtime_checkable
class PointDescriptor(Protocol):
    """A local feature that describes points of others."""

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """Rows (N, D), row i for keypoint i."""
        ...


@runtime_checkable
class FeatureMaps(Protocol):
    """Maps of somebody else's that the stages of a fast cascade may read beside the gradient channels."""

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Any:
        """Learn from crops and points, as a :class:`Detector` does."""
        ...

    def feature_maps(self, images: Array) -> tuple[Array, float]:
        """(B, C, h, w) float32 of crops (B, H, W[, 3]) uint8, and how many crop px a map's pixel covers.

        Map pixel i is centred where crop coordinate x has ``(x + 1/2) / stride - 1/2 = i``.  For the
        runtime, ``runtime_node()`` gives ``{"graph": ONNX bytes, "stride": float, "channels": 1 or 3}``; the
        graph takes ``image`` (1, channels, H, W) float32 in 0..255 and gives ``maps`` (1, C, h, w).
        """
        ...


@runtime_checkable
class LearnedDescriptor(Protocol):
    """A descriptor that learns from crops and points, as a network does."""

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Self: ...


@runtime_checkable
class ScoreMaps(Protocol):
    """A detector that says how probable each place is, and not only which is the best."""

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H / stride, W / stride) float32, each map summing to 1."""
        ...


@runtime_checkable
class MapsNode(Protocol):
    """A detector whose score maps the runtime can compute."""

    def maps_node(self, stride: int) -> dict[str, Any]:
        """``graph`` (ONNX bytes, ``image`` to ``maps``) and how many ``channels`` it sees."""
        ...


@runtime_checkable
class Mirrored(Protocol):
    """A detector that averages the picture and its mirror image by itself, by maps instead of points."""

    def with_mirror(self, flip: Any) -> Any:
        """The fitted detector asked twice; ``flip`` (K,) relabels the landmarks of the mirror image."""
        ...


@runtime_checkable
class HeldOutMaps(Protocol):
    """A detector with score maps that learns nothing from some groups: it stops and calibrates by them."""

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """As of :class:`ScoreMaps`."""
        ...

    def held_out(self, n: int, groups: ArrayLike | None = None) -> Array:
        """Which of the ``n`` rows of a fit it kept out; none where there was one group only."""
        ...


@runtime_checkable
class OutOfFold(Protocol):
    """A detector that works by folds inside and says what it predicts out of fold: no folds within folds."""

    def predict_out_of_fold(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """(B, K, 2) points and (B, K) scores of pictures that each model did not see."""
        ...


@runtime_checkable
class Visibility(Protocol):
    """A detector that tells hidden landmarks from visible ones."""

    def predict_with_visibility(self, images: Any) -> tuple[Array, Array, Array]:
        """(B, K, 2) points, (B, K) scores, (B, K) probability that the landmark is visible."""
        ...


@runtime_checkable
class Staged(Protocol):
    """A detector that comes to its points in steps."""

    def stages(self, images: Any) -> list[Stage]:
        """The points after each step, in their order; the last are those of ``predict``."""
        ...


@runtime_checkable
class Holds(Protocol):
    """A fitted detector that has others inside."""

    def held(self) -> list[tuple[str, Any]]:
        """(name, fitted detector), in the order in which they are asked."""
        ...


@runtime_checkable
class Voices(Protocol):
    """A combination that says what each of its members said, and how much it counted."""

    def voices(self, images: Any) -> list[Voice]: ...


@runtime_checkable
class CombinesPredictions(Protocol):
    """A combination whose rule can be learned from points and scores that are there already."""

    def combiner(
        self, xy: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> Callable[[Array, Array], tuple[Array, Array]]:
        """From (M, B, K, 2) points, (M, B, K) scores and the truth (B, K, 2), in crops ``side`` px long: a
        function of other objects' points and scores that gives (B, K, 2) and (B, K)."""
        ...


@runtime_checkable
class ReadyMade(Protocol):
    """A detector that learns nothing from data: ``fit`` reads what somebody else has trained."""

    def input_hw(self) -> tuple[int, int]:
        """Height and width of the crops that it sees unscaled, px."""
        ...

    def content(self) -> str:
        """A digest of what ``fit`` reads, so that nobody remembers a fit of another file of that name."""
        ...


@runtime_checkable
class Peer(Protocol):
    """A detector of somebody else's with points of its own: any number of them, in crops of ours."""

    def ready(self, images: Any) -> Self:
        """Take what is needed to answer for such crops; no truth is looked at."""
        ...

    def points(self, images: Any) -> tuple[Array, Array]:
        """(B, M, 2) in crop px, NaN = gave none, and (B, M) its own confidences in 0..1."""
        ...


@runtime_checkable
class Contributing(Protocol):
    """A detector that can be taken apart: what each place of a crop added to what it found."""

    def contributions(self, image: Array, landmark: int) -> Contributions:
        """``image`` is one crop (H, W[, 3])."""
        ...


@runtime_checkable
class InputGradients(Protocol):
    """A network that says how far a point would move if a pixel changed."""

    def input_gradients(self, images: Any, landmark: int) -> Array:
        """(B, H, W) float32: px of movement per grey level, the length over x, y and channels."""
        ...


@runtime_checkable
class Messages(Protocol):
    """A tree of landmarks that says who moved whom."""

    def messages(self, images: Any, landmark: int) -> list[Message]:
        """What each neighbour of a landmark says in the first of the crops; empty where no tree is used."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A descriptor each of whose features looks at one place."""

    def feature_places(self) -> tuple[Array, float]:
        """(D, 2) offsets from the point, px of the described picture, and the side of a place."""
        ...


def stages_of(detector: Any, images: Any, name: str = "start") -> list[Stage]:
    """The stages of any fitted detector; one that has none is a stage of its own, called ``name``."""
    if supports(detector, Staged):
        found: list[Stage] = detector.stages(images)
        return found
    return [Stage(name, detector.predict(images))]


@runtime_checkable
class RuntimeNode(Protocol):
    """A fitted estimator that can leave scikit-learn and torch behind."""

    def runtime_node(self) -> dict[str, Any]:
        """A tree of plain values, NumPy arrays and ONNX bytes; ``kind`` names who computes it."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """An estimator whose learned state is not its ``name_`` attributes as they are, such as a network."""

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any]) -> None: ...
