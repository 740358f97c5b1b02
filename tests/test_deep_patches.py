"""The networks that only see patches: PatchCNN and CNNEmbedding."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hybridkp.deep import CNNEmbedding, PatchCNN  # noqa: E402
from hybridkp.deep.networks import DenseTrunk  # noqa: E402
from hybridkp.deep.patchcnn import PatchModule  # noqa: E402
from hybridkp.imaging.pyramid import gaussian_pyramid  # noqa: E402
from hybridkp.structures import InputError, Keypoints  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def small(net, max_epochs=2, epoch_pictures=16, learning_rate=3e-3, **params):
    changes = {"max_epochs": max_epochs, "epoch_pictures": epoch_pictures, "learning_rate": learning_rate}
    return net(**params, schedule=net.default_schedule(batch_size=8, device="cpu", **changes))


def marks(n: int, size_hw=(64, 64), k: int = 3, seed: int = 0):
    """Grey pictures with k spots, each with a stripe pattern of its own direction."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    xy = np.linspace(0.3, 0.7, k)[None, :, None] * (w, h) + rng.uniform(-4, 4, (n, k, 2))
    y, x = np.mgrid[:h, :w]
    dx, dy = x - xy[..., 0, None, None], y - xy[..., 1, None, None]
    turn = np.pi * np.arange(k)[:, None, None] / k
    spots = np.exp(-(dx**2 + dy**2) / 18) * np.cos(dx * np.cos(turn) + dy * np.sin(turn))
    return np.clip(100 + 100 * spots.sum(1) + rng.normal(0, 3, (n, h, w)), 0, 255).astype(np.uint8), xy


def error(found, xy):
    return np.nanmean(np.linalg.norm(found - xy, axis=-1))


def test_trunk_outputs_sit_between_the_even_and_the_odd_pixel():
    trunk = DenseTrunk(n_features=1).eval()
    for module in trunk.modules():  # a net that averages: its answer to a ramp is the place it looks at
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    with torch.no_grad():
        assert abs(float(trunk(ramp)[0, 0, 16, 15]) - 30.5) < 0.01


def test_search_finds_the_centre_of_its_window_on_blank_pictures():
    module = PatchModule(2).eval()
    centre = torch.tensor([[[60.0, 70.25], [63.5, 58.0]]])
    for level in module.levels:
        torch.nn.init.zeros_(level.head.weight)
    blank = torch.zeros(1, 1, 128, 128)
    with torch.no_grad():
        for spread, (xy, variance) in (
            (12.0, module.search(0, blank, centre, torch.tensor(12.0))),
            (6.0, module.search(1, blank, centre, torch.tensor(6.0))),
            (4.0, module.search_fine(module.fine(blank), centre, 4.0)),
        ):
            assert (xy - centre).abs().max() < 0.05
            torch.testing.assert_close(variance, torch.full((1, 2), 2 * spread**2), rtol=0.03, atol=0)


def test_patch_cnn_learns():
    pictures, xy = marks(24)
    net = small(PatchCNN, input_px=64, max_epochs=4, epoch_pictures=64, learning_rate=5e-3)
    found = net.fit(pictures, xy, groups=np.zeros(24)).predict(pictures)
    assert error(found, xy) < 0.6 * error(xy.mean(0)[None], xy)


def test_patch_cnn_state_gaps_and_batches():
    pictures, xy = marks(10)
    xy[:5, 1] = np.nan
    pictures.flags.writeable = xy.flags.writeable = False
    flip = np.array([2, 1, 0])
    fitted = small(PatchCNN, input_px=64).fit(pictures, xy, flip=flip)
    found, score = fitted.predict_with_score(pictures)
    assert found.shape == (10, 3, 2) and found.dtype == score.dtype == np.float32
    assert np.isfinite(found).all() and ((score >= 0) & (score <= 1)).all()
    assert np.array_equal(small(PatchCNN, input_px=64).fit(pictures, xy, flip=flip).predict(pictures), found)
    copy = small(PatchCNN, input_px=64)
    copy.set_state(fitted.get_state())
    assert np.array_equal(copy.predict(pictures), found)
    np.testing.assert_allclose(fitted.predict(pictures[4:5])[0], found[4], atol=1e-3)
    assert np.isfinite(fitted.predict(np.zeros_like(pictures))).all()
    maps = fitted.score_maps(pictures)
    assert maps.shape == (10, 3, 16, 16) and (maps >= 0).all()
    np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-4)
    two = small(PatchCNN, input_px=32).fit(pictures[-2:, :40], xy[-2:, :1])
    assert two.predict(pictures[:1, :40]).shape == (1, 1, 2)


def test_embedding_tells_landmarks_apart():
    pictures, xy = marks(24)
    embedding = small(CNNEmbedding, n_features=16, max_epochs=4, epoch_pictures=64, learning_rate=5e-3)
    embedding.fit(pictures, xy, groups=np.zeros(24))
    fresh, truth = marks(12, seed=4)
    rows = np.stack(
        [
            embedding.describe(gaussian_pyramid(p, 2), Keypoints(at))
            for p, at in zip(fresh, truth, strict=True)
        ]
    )
    assert rows.shape == (12, 3, 16) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-5)
    centre = rows.mean(0)
    assert ((rows @ centre.T).argmax(-1) == np.arange(3)).mean() > 0.8
    assert embedding.history_["validation"][-1] < 0.5


def test_embedding_keeps_rows_in_order_and_its_state():
    pictures, xy = marks(8, (64, 48))
    xy[0, 0] = np.nan
    embedding = small(CNNEmbedding, n_features=8).fit(pictures, xy, flip=np.array([2, 1, 0]))
    assert embedding.n_features == 8
    pyramid = gaussian_pyramid(pictures[0], 3)
    points = np.array([[10, 10], [0, 0], [47, 63], [-30, 90], [20.3, 11.7]], np.float32)
    rows = embedding.describe(pyramid, Keypoints(points))
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(embedding.describe(pyramid, Keypoints(points[::-1])), rows[::-1], atol=1e-6)
    assert embedding.describe(pyramid, Keypoints(np.zeros((0, 2)))).shape == (0, 8)
    copy = small(CNNEmbedding, n_features=8)
    copy.set_state(embedding.get_state())
    assert np.array_equal(copy.describe(pyramid, Keypoints(points)), rows)
    coarse = small(CNNEmbedding, n_features=8, level=5)
    coarse.set_state(embedding.get_state())
    with pytest.raises(InputError, match="levels"):
        coarse.describe(pyramid, Keypoints(points))
