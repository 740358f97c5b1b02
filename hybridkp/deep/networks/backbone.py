"""The contract of a backbone: what it takes, what it gives, and where its output pixels lie.

No head, no loss and no training here.  Shapes that pass: standardised pictures (B, C, H, W) to
features (B, F, ceil(H / s), ceil(W / s)), at a stride of s px.
"""

from __future__ import annotations

from torch import Tensor, nn


class Backbone(nn.Module):
    """Standardised pictures (B, C, H, W) to ``n_features`` maps at ``stride``.

    ``C`` is 1 (grey) or 3 (BGR), all that the registry hands over; H and W are multiples of 16 from 32
    on.  The codec takes feature pixel (i, j) for input point ``((j + 1/2) s - 1/2, (i + 1/2) s - 1/2)``;
    a receptive field that is centred a px beside it does no harm, as training learns the offset.
    Operators must be those that ``cv2.dnn`` of OpenCV 4 and 5 runs: convolutions, pools, nearest or
    bilinear upsampling.

    Attributes
    ----------
    n_features : F, the number of output maps
    stride : s, input px per output px
    """

    n_features: int
    stride: int

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, F, ceil(H / s), ceil(W / s))."""
        raise NotImplementedError

    def local(self, pictures: Tensor) -> Tensor:
        """Maps of that stride that know only what is near; where there are none, those of ``forward``."""
        features: Tensor = self(pictures)
        return features
