"""Training of the point network: exact pairs, labels, losses, and a loop that resumes and repeats."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from hybridkp.deep import PointLearner
from hybridkp.deep.points.export import load_points
from hybridkp.deep.points.learning import adapt, corner_response, even, validate
from hybridkp.deep.points.losses import PointLoss, label_maps, match_loss, soft_points
from hybridkp.deep.points.network import PointModule, export_points, folded, unit_spread
from hybridkp.deep.points.views import PairBatch, Source, Views, collage, make_batch, shapes, transform
from hybridkp.structures import InputError

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CALM = Views(contrast=0, brightness=0, gamma=0, noise=0, blur=0.31, shade=0)


def board(cells: int = 9, px: int = 24) -> np.ndarray:
    """A chessboard of random greys, smooth at its edges."""
    grey = np.random.default_rng(0).integers(0, 110, (cells, cells))
    grey += 140 * (np.add.outer(np.arange(cells), np.arange(cells)) % 2)
    return cv2.GaussianBlur(np.kron(grey, np.ones((px, px))).astype(np.uint8), (0, 0), 0.8)


def learner(max_epochs: int = 2, epoch_pairs: int = 4, seed: int = 0, **changes: Any) -> PointLearner:
    """Two pairs a step, by default two epochs of two steps."""
    schedule = PointLearner.default_schedule(
        max_epochs=max_epochs, epoch_pictures=epoch_pairs, batch_size=2, **changes
    )
    return PointLearner(48, shapes=0.3, collages=0.0, relabel=(0.5,), schedule=schedule, random_state=seed)


def fit(it: PointLearner, stop: int = 99) -> tuple[PointLearner, list[dict[str, float]]]:
    """The learner and what it reported; interrupted at the end of epoch ``stop``."""
    lines: list[dict[str, float]] = []

    def report(line: dict[str, float], net: Any) -> None:
        lines.append(line)
        if len(lines) == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        it.fit([board(7, 20)], [board(7, 20)], report)
    return it, lines


# ------------------------------------------------------------------------------ pairs
def test_the_homography_of_a_pair_is_exact() -> None:
    blob = np.full((300, 300), 40, np.float32)
    y, x = np.mgrid[:300, :300]
    centres = np.array([[130.0, 140.0], [165.5, 150.25], [145.0, 172.0]])
    for cx, cy in centres:
        blob += 180 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 3.0**2))
    source = Source(blob.astype(np.uint8), centres, np.ones(3))
    for seed in range(6):
        batch = make_batch([source], np.random.default_rng(seed), 128, CALM)
        first, second = batch.xy
        if len(first) < 3 or len(second) < 3:
            continue
        np.testing.assert_allclose(transform(batch.homography[0], first), second, atol=1e-3)
        for picture, xy in zip(batch.pictures, batch.xy, strict=True):
            for at in xy:  # the brightness around a labelled point is centred on it
                left, top = np.rint(at).astype(int) - 5
                patch = picture[top : top + 11, left : left + 11]
                if patch.shape != (11, 11):
                    continue
                weight = (patch - patch.min()) ** 2
                gy, gx = np.mgrid[top : top + 11, left : left + 11]
                found = np.array([(weight * gx).sum(), (weight * gy).sum()]) / weight.sum()
                assert np.abs(found - at).max() < 0.35


def test_drawn_shapes_have_their_corners_where_they_say() -> None:
    rng, strong = np.random.default_rng(3), []
    for _ in range(12):
        picture, xy, weight = shapes(rng)
        assert len(xy) == len(weight)  # type: ignore[arg-type]
        inside = xy[((xy > 8) & (xy < 247)).all(1)]  # type: ignore[index, operator]
        response = cv2.dilate(corner_response(picture), np.ones((5, 5)))
        at = np.rint(inside).astype(int)
        strong += (response[at[:, 1], at[:, 0]] > np.median(response)).tolist()
    assert np.mean(strong) > 0.85


def test_collages_are_pictures_without_labels() -> None:
    picture, xy, weight = collage([board()], np.random.default_rng(0), 120)
    assert picture.shape == (120, 120)
    assert picture.dtype == np.uint8
    assert xy is None
    assert weight is None
    assert picture.std() > 5


# ------------------------------------------------------------------------------ labels
def test_adaptation_finds_the_crossings_of_a_chessboard() -> None:
    found = adapt(board(), corner_response, np.random.default_rng(0), 6)
    grid = np.stack(np.meshgrid(np.arange(1, 9), np.arange(1, 9)), -1).reshape(-1, 2) * 24 - 0.5
    far = np.linalg.norm(grid[:, None] - found, axis=2)
    off = found[far.argmin(1)] - grid
    assert (far.min(1) < 1).mean() > 0.9
    assert np.abs(off.mean(0)).max() < 0.2  # half a pixel off would show


def test_the_networks_own_labels_prefer_no_side() -> None:
    def drifted(picture: np.ndarray) -> np.ndarray:
        return np.roll(corner_response(picture), (1, 2), (0, 1))

    picture = board()[:-40]
    np.testing.assert_allclose(even(corner_response)(picture), corner_response(picture), atol=1e-5)
    seen = even(drifted)(picture)
    for axis in (0, 1):
        np.testing.assert_allclose(even(drifted)(np.flip(picture, axis)), np.flip(seen, axis), atol=1e-6)


def test_label_maps_are_bumps_around_the_points() -> None:
    empty = np.zeros((2, 32, 32), np.float32)
    xy = [np.array([[10.25, 12.0], [30.9, 5.0]], np.float32), np.zeros((0, 2), np.float32)]
    batch = PairBatch(empty, empty > -1, np.eye(3)[None], xy, [np.ones(2), np.zeros(0)], np.ones(2, bool))
    maps = label_maps(batch, 0.9).numpy()
    assert maps[0, 12, 10] == pytest.approx(np.exp(-(0.25**2) / (2 * 0.81)))
    assert maps[0, 12, 11] == pytest.approx(np.exp(-(0.75**2) / (2 * 0.81)))
    assert maps[0, :, 20:].max() == 0  # too near the edge for a whole bump
    assert maps[1].max() == 0


# ------------------------------------------------------------------------------ losses
def test_soft_points_decode_as_the_runtime_does() -> None:
    from hybridkp.points.dense import peaks, soft_argmax

    rng = np.random.default_rng(0)
    logits = cv2.GaussianBlur(rng.normal(0, 8, (48, 48)), (0, 0), 1.2).astype(np.float32)
    xy, height, spread = soft_points(
        torch.from_numpy(logits)[None], torch.ones(1, 48, 48, dtype=torch.bool), 12
    )
    want, want_spread = soft_argmax(logits, peaks(logits, 12, -99.0, border=5), 1.0)
    np.testing.assert_allclose(xy[0].numpy(), want, atol=1e-4)
    np.testing.assert_allclose(spread[0].numpy(), want_spread, atol=1e-3)
    assert (np.diff(height[0].numpy()) <= 0).all()


def test_the_match_loss_by_hand() -> None:
    rows = torch.eye(3)[None]
    xy = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [10.0, 1.0]]])
    use, sharp = torch.tensor([[True, True, True]]), torch.tensor(2.0)
    loss, right = match_loss(rows, rows, xy, use, sharp)
    # the first point has two rivals, the others only the first: they are 1 px from each other
    want = (np.log(1 + 2 * np.exp(-2)) + 2 * np.log(1 + np.exp(-2))) / 3
    assert float(loss) == pytest.approx(want, abs=1e-5)
    assert right.all()
    loss, right = match_loss(rows, rows.flip(1), xy, use, sharp)
    assert float(loss) > want
    assert right.tolist() == [[False, True, False]]


def test_the_place_loss_sees_a_shift_of_one_view() -> None:
    """Equal views: moving one view's maps by a pixel costs exactly that pixel."""
    rng = np.random.default_rng(0)
    logits = np.full((2, 64, 64), -12.0, np.float32)
    for x, y in rng.permutation(np.stack(np.meshgrid(range(10, 56, 9), range(10, 56, 9)), -1).reshape(-1, 2)):
        logits[:, y, x] = 8
    batch = PairBatch(
        np.zeros((2, 64, 64), np.float32), np.ones((2, 64, 64), bool), np.eye(3)[None],
        [np.zeros((0, 2), np.float32)] * 2, [np.zeros(0)] * 2, np.zeros(2, bool),
    )  # fmt: skip
    rows, loss = torch.randn(2, 8, 16, 16), PointLoss(20, 5)
    found = []
    for shift in (0, 1):
        moved = torch.from_numpy(np.stack([logits[0], np.roll(logits[1], shift, 1)]))
        terms = loss.terms(moved, rows, torch.ones(2, 64, 64, dtype=torch.bool), batch, torch.Generator())
        found.append(float(terms["place"]))
    assert found == pytest.approx([0, 1], abs=0.01)


# ------------------------------------------------------------------------------ network and loop
def test_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    net = PointModule()
    value = unit_spread(torch.rand(2, 1, 32, 48) * 255)
    for _ in range(3):
        net(value)  # moves the running means
    net.eval()
    with torch.no_grad():
        for whole, light in zip(net(value), folded(net)(value), strict=True):
            torch.testing.assert_close(whole, light, atol=1e-4, rtol=1e-4)
    assert sum(p.numel() for p in net.parameters()) <= 300_000
    assert len(export_points(net)) <= 1_500_000


def test_some_steps_lower_the_loss() -> None:
    """Sixteen steps at the very start of a schedule, where only labels and matches count."""
    it = learner(max_epochs=200, epoch_pairs=8, warm_up=0.0)
    _, lines = fit(it.set_params(shapes=0.0, relabel=()), stop=4)
    losses = [0.5 * line["label"] + 1.5 * line["match"] for line in lines]
    assert len(losses) == 4 and losses[-1] < 0.8 * losses[0]


def test_a_training_repeats_and_resumes_exactly(tmp_path: Path) -> None:
    whole, lines = fit(learner())
    assert whole.n_rounds_ == 1  # it has labelled the pictures itself
    path = tmp_path / "run.safetensors"
    fit(learner(checkpoint=path), stop=2)  # the first of two epochs is saved
    second, rest = fit(learner(checkpoint=path))
    found = second.net_.state_dict()
    for name, value in whole.net_.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=0, rtol=0)
    assert second.history_ == whole.history_
    assert rest == lines[1:]
    assert second.n_rounds_ == 1
    assert fit(learner(seed=1))[0].history_["loss"][0] != whole.history_["loss"][0]


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fit(learner(max_epochs=1, epoch_pairs=2, checkpoint=path))
    with pytest.raises(InputError, match=r"run\.safetensors: checkpoint of another training"):
        fit(learner(max_epochs=1, epoch_pairs=2, checkpoint=path, seed=1))
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"run\.safetensors: not a checkpoint file"):
        fit(learner(max_epochs=1, epoch_pairs=2, checkpoint=path))


def test_a_training_goes_on_from_the_weights_of_a_file(tmp_path: Path) -> None:
    first, _ = fit(learner(max_epochs=1, epoch_pairs=2))
    (tmp_path / "net.onnx").write_bytes(export_points(first.net_))
    again = learner(max_epochs=1, epoch_pairs=2, learning_rate=0.0, checkpoint=tmp_path / "run.safetensors")
    fit(again.set_params(start=tmp_path / "net.onnx"))
    for name, value in load_points(tmp_path / "net.onnx").state_dict().items():
        torch.testing.assert_close(again.net_.state_dict()[name], value, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="checkpoint of another training"):
        fit(again.set_params(start=None))


def test_it_trains_on_the_cpu_and_says_so() -> None:
    with pytest.raises(InputError, match="PointLearner trains on device 'cpu', got 'meta'"):
        fit(learner(device="meta"))


def test_validation_gives_shares() -> None:
    found = validate(PointModule(), [board()], n_pairs=1, n_points=50)
    assert set(found) == {"mma1", "mma3", "repeatability", "matching"}
    assert all(0 <= v <= 1 for v in found.values())
