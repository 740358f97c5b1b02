"""The contract of a backbone: what it takes, what it gives, and where its output pixels lie.

No head, no loss and no training here.  Shapes that pass: standardised pictures (B, C, H, W) to
features (B, F, ceil(H / s), ceil(W / s)), at a stride of s px.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...structures import Parameters, check_whole


class Backbone(nn.Module):
    """Standardised pictures (B, C, H, W) to ``n_features`` maps at ``stride``.

    ``C`` is 1 (grey) or 3 (BGR), all that an architecture is asked for; H and W are multiples of 16 from 32
    on.  The codec takes feature pixel (i, j) for input point ``((j + 1/2) s - 1/2, (i + 1/2) s - 1/2)``;
    a receptive field that is centred a px beside it does no harm, as training learns the offset.
    Operators must be those of ``hybridkp/files/onnx_shapes.py``, which every engine runs: convolutions,
    pools, nearest or bilinear upsampling, products, comparisons.

    Attributes
    ----------
    n_features : F, the number of output maps
    stride : s, input px per output px
    n_stages : how many stacks of maps :meth:`staged` gives
    """

    n_features: int
    stride: int
    n_stages: int = 1

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, F, ceil(H / s), ceil(W / s))."""
        raise NotImplementedError

    def staged(self, pictures: Tensor) -> list[Tensor]:
        """What training puts a loss on, each as from ``forward``, whose own is the last one."""
        return [self(pictures)]

    def local(self, pictures: Tensor) -> Tensor:
        """Maps of that stride that know only what is near; where there are none, those of ``forward``."""
        features: Tensor = self(pictures)
        return features


class Architecture(Parameters):
    """A kind of backbone and its parameters, without weights; its name is the class's in lower case."""

    def build(self, channels: int, side: int) -> Backbone:
        """A fresh backbone for pictures of ``channels``, to be trained on squares of ``side`` px.

        Raises
        ------
        InputError
            For parameters out of range, and for a side that is too small for them.
        """
        raise NotImplementedError

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def check(self, **ranges: tuple[int, int]) -> None:
        """:class:`InputError` for a parameter that is no whole number of its range, ends included."""
        for key, (low, high) in ranges.items():
            check_whole(getattr(self, key), f"{self.name}: {key}", low, high)
