"""The whole-picture networks, their augmentation, codec, training loop and export."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from sklearn.base import clone  # noqa: E402

from hybridkp import files, memory  # noqa: E402
from hybridkp.deep import DirectNet, HeatmapNet, PatchCNN, Schedule, SimCCNet, training  # noqa: E402
from hybridkp.deep.augment import Augment, apply_maps, augment, compress, mirror, random_maps, vary_color  # noqa: E402
from hybridkp.deep.batches import Rows, resize_square, split_rows  # noqa: E402
from hybridkp.deep.codec import decode, decode_mode, encode  # noqa: E402
from hybridkp.deep.devices import half_precision, n_parameters  # noqa: E402
from hybridkp.deep.direct import DirectModule  # noqa: E402
from hybridkp.deep.heatmap import HeatmapModule  # noqa: E402
from hybridkp.deep.losses import map_loss  # noqa: E402
from hybridkp.deep.networks import make_backbone  # noqa: E402
from hybridkp.deep.training import train  # noqa: E402
from hybridkp.files.records import load_tensors, save_tensors  # noqa: E402
from hybridkp.stats.calibration import calibrate  # noqa: E402
from hybridkp.structures import InputError  # noqa: E402

TINY = {"input_px": 32, "max_epochs": 2, "epoch_pictures": 16, "batch_size": 8, "device": "cpu"}
NETS = [HeatmapNet, DirectNet, SimCCNet]
SCHEDULED = set(Schedule().get_params())

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def blobs(n: int, size_hw=(48, 48), k: int = 3, seed: int = 0, sigma: float = 2.0, margin: float = 0.25):
    """Grey pictures with k blobs of different brightness at exact sub-pixel places."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    xy = rng.uniform(margin, 1 - margin, (n, k, 2)) * (w, h)
    y, x = np.mgrid[:h, :w]
    weight = 200 * (1 - np.arange(k) / (k + 1))
    distance = (x - xy[..., 0, None, None]) ** 2 + (y - xy[..., 1, None, None]) ** 2
    pictures = (np.exp(-distance / (2 * sigma**2)) * weight[:, None, None]).max(1)
    return np.rint(pictures).astype(np.uint8), xy


def small(net, **params):
    """A network of the tiny size, its own parameters and those of its schedule by name."""
    return net().set_params(
        **{f"schedule__{k}" if k in SCHEDULED else k: v for k, v in (TINY | params).items()}
    )


def centroid(pictures):
    """(B, 1, 2) centre of mass."""
    p = np.asarray(pictures, float)[:, 0]
    y, x = np.mgrid[: p.shape[1], : p.shape[2]]
    total = p.sum((1, 2))
    return np.stack([(p * x).sum((1, 2)) / total, (p * y).sum((1, 2)) / total], -1)[:, None]


# ------------------------------------------------------------------ augmentation and codec


def test_points_move_exactly_with_the_pictures():
    pictures, xy = blobs(16, (64, 64), 1, margin=0.35)
    tensor, points = torch.from_numpy(pictures)[:, None].float(), torch.from_numpy(xy).float()
    maps = random_maps(
        16, (64, 64), Augment(rotation=20, scale=0.1, stretch=0.0), torch.Generator().manual_seed(0)
    )
    moved, target = apply_maps(tensor, points, maps)
    assert np.abs(centroid(moved) - target.numpy()).max() < 0.02
    assert np.abs(centroid(moved) - points.numpy()).max() > 1


def test_geometry_varies_as_many_times_as_asked():
    moved = [
        random_maps(500, (64, 64), Augment().varied(times, 0.0), torch.Generator().manual_seed(0))
        for times in (0.0, 1.0, 2.0)
    ]
    assert torch.equal(moved[0], torch.eye(2, 3).expand(500, 2, 3))
    angle = [torch.atan2(m[:, 1, 0] * m[:, 1, 1], m[:, 0, 0] * m[:, 1, 1]) for m in moved]
    assert float(angle[2].std() / angle[1].std()) == pytest.approx(2, abs=0.1)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="vary must be"):
            Augment().varied(wrong, 0.0)


def test_mirror_relabels_and_is_exact():
    pictures, xy = blobs(6, (40, 48), 2)
    tensor, points = torch.from_numpy(pictures)[:, None].float(), torch.from_numpy(xy)
    flip, which = torch.tensor([1, 0]), torch.tensor([True, False] * 3)
    moved, target = mirror(tensor, points, flip, which)
    assert torch.equal(moved[0], tensor[0].flip(-1)) and torch.equal(moved[1], tensor[1])
    assert torch.equal(target[1], points[1])
    np.testing.assert_allclose(target[0, 0], [47 - xy[0, 1, 0], xy[0, 1, 1]])
    again, back = mirror(moved, target, flip, which)
    assert torch.equal(again, tensor)
    torch.testing.assert_close(back, points)


def test_augmentation_is_fixed_by_its_generator_and_keeps_nan():
    pictures, xy = blobs(4)
    xy[0, 1] = np.nan
    batch = torch.from_numpy(pictures)[:, None], torch.from_numpy(xy).float()
    runs = [
        augment(*batch, Augment(), torch.Generator().manual_seed(3), torch.tensor([0, 2, 1]))
        for _ in range(2)
    ]
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.isnan(runs[0][1]).sum() == 2
    assert runs[0][0].min() >= 0 and runs[0][0].max() <= 255


def test_heat_map_codec_round_trip():
    xy = torch.rand(5, 7, 2, dtype=torch.float64) * 20 + 6
    xy[0, 0] = torch.nan
    maps = encode(xy, (32, 32), 1.2)
    found, variance = decode(maps)
    known = torch.isfinite(xy).all(-1)
    assert (found - xy)[known].abs().max() < 0.05  # a half-pixel shift is ten times this
    assert maps[0, 0].sum() == 0
    torch.testing.assert_close(
        variance[known], torch.full_like(variance[known], 2 * 1.2**2), rtol=0.02, atol=0
    )


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("read", [decode, decode_mode])
def test_points_survive_the_maps_of_any_stride(read, stride):
    """In px of the network's input: a codec that is half a pixel off, of the input or the map, fails."""
    xy = (torch.rand(5, 7, 2, generator=torch.Generator().manual_seed(0)) * 20 + 6) * stride
    found, _ = read(encode(xy, (32, 32), 1.2, stride), stride)
    assert (found - xy).abs().max() < 0.05 * stride


@pytest.mark.parametrize("size_hw", [(48, 48), (64, 64), (100, 130), (150, 90)])
def test_resizing_keeps_points_on_their_blobs(size_hw):
    pictures, xy = blobs(8, size_hw, 1, sigma=4.0, margin=0.4)
    small, scale = resize_square(torch.from_numpy(pictures)[:, None].float(), 48)
    assert np.abs(centroid(small) - ((xy + 0.5) * scale.numpy() - 0.5)).max() < 0.05


def test_groups_are_never_cut():
    groups = np.repeat(np.arange(10), 3)
    rows, held = split_rows(30, groups, 0.2, 0)
    assert not set(groups[rows]) & set(groups[held]) and len(rows) + len(held) == 30
    same, all_of_them = split_rows(4, np.zeros(4), 0.2, 0)
    assert len(same) == len(all_of_them) == 4


def test_calibration_recovers_a_logistic_and_stays_finite():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=20000)
    hit = rng.random(20000) < 1 / (1 + np.exp(-(2 * raw - 0.5)))
    np.testing.assert_allclose(calibrate(raw, hit), (2, -0.5), atol=0.1)
    for few in ([True], [False], [True, True]):
        assert np.isfinite(calibrate(np.zeros(len(few)), np.array(few))).all()


@pytest.mark.parametrize("quality", [15, 40, 75])
def test_compression_is_that_of_a_jpeg_encoder(quality):
    picture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (44, 61)).astype(np.uint8), (0, 0), 1.5
    )
    coded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0).astype(
        float
    )
    grey = torch.from_numpy(picture)[None, None].float()
    ours = compress(grey, torch.tensor([float(quality)]))[0, 0].numpy()
    inside = np.s_[:40, :56]  # encoders differ in how they fill the blocks of the border
    off = np.abs(np.rint(ours) - coded)[inside]
    assert (off <= 1).mean() > 0.9  # the encoder's transform is in whole numbers: ties go both ways
    assert np.abs(coded - picture)[inside].mean() > 5 * off.mean()


# ------------------------------------------------------------------ training loop


def _regression(path=None, epochs=4, seed=0, average=0.0):
    x = torch.linspace(-1, 1, 40)[:, None]
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
    )
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.sin(torch.arange(p.numel()).float() + i).view_as(p))

    def loss(module, batch):
        return (module(batch[0]) - batch[1]).square().mean()

    def noisy(batch, generator):
        return batch[0] + 0.01 * torch.randn(batch[0].shape, generator=generator), batch[1]

    def validate(module):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(1)
        with torch.no_grad():
            return float(loss(module, (x, x**2)))

    calls, stop = [], epochs
    schedule = Schedule(
        max_epochs=4, batch_size=8, epoch_pictures=40, average=average, device="cpu", checkpoint=path
    )
    try:
        supply = Rows((x, x**2), noisy, 8, 40, torch.device("cpu"))
        history = train(net, supply, loss, validate, schedule, seed=seed)
    except KeyboardInterrupt:
        history = None
    return history, torch.cat([p.detach().ravel() for p in net.state_dict().values()])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_an_interrupted_training_resumes_to_the_same_result(tmp_path, average):
    path = tmp_path / "run.ckpt"
    history, weights = _regression(average=average)
    assert _regression(path, epochs=2, average=average)[0] is None
    assert sorted(tmp_path.iterdir()) == [path]
    resumed, same = _regression(path, average=average)
    assert resumed == history
    assert torch.equal(weights, same)


def test_the_kept_weights_are_the_running_mean_of_those_of_every_step():
    before = []  # the weight that each step started from

    def loss(module, batch):
        before.append(float(module.weight.detach()))
        return (module(batch[0]) - batch[1]).square().mean()

    x = torch.linspace(-1, 1, 16)[:, None]
    net = torch.nn.Linear(1, 1, bias=False)
    schedule = Schedule(max_epochs=1, batch_size=4, epoch_pictures=16, average=0.15, learning_rate=0.1)
    last = []

    def validate(module):
        last.append(float(net.weight.detach()))
        return 0.0

    supply = Rows((x, 3 * x), lambda batch, g: batch, 4, 16, torch.device("cpu"))
    train(net, supply, loss, validate, schedule.set_params(device="cpu"), seed=0)
    mean = before[1]  # the first step starts the mean; then min(0.15, (1 + n) / (10 + n)) of the past is kept
    for n, now in enumerate([*before[2:], *last], 1):
        keep = min(0.15, (1 + n) / (10 + n))
        mean = keep * mean + (1 - keep) * now
    assert float(net.weight.detach()) == pytest.approx(mean, abs=1e-6)
    assert abs(mean - last[0]) > 1e-4


def test_half_precision_is_what_is_asked_for():
    cpu = torch.device("cpu")
    assert half_precision("bfloat16", cpu) and not half_precision("float32", cpu)
    assert half_precision("auto", cpu) in (True, False)
    with pytest.raises(InputError, match="precision"):
        half_precision("float16", cpu)
    with pytest.raises(InputError, match="average"):
        _regression(average=1.0)


def test_training_in_half_precision_learns_as_well():
    pictures, xy = blobs(12, (32, 32))
    errors = {}
    for precision in ("float32", "bfloat16"):
        net = small(
            HeatmapNet,
            max_epochs=4,
            batch_size=16,
            epoch_pictures=64,
            learning_rate=5e-3,
            precision=precision,
        )
        net.fit(pictures, xy, groups=np.zeros(12))
        errors[precision] = net.history_["validation"][-1]
    assert errors["bfloat16"] < 1.3 * errors["float32"] < 0.25


def test_the_mode_of_a_map_is_found_where_its_mean_is_nowhere():
    xy = torch.tensor([[[5.3, 20.6], [22.0, 8.25]]])
    one = encode(xy, (32, 28), 1.2)
    assert torch.allclose(decode_mode(one)[0], xy, atol=0.05)
    far = encode(torch.tensor([[[24.0, 4.0], [3.0, 28.0]]]), (32, 28), 1.2)
    both = 0.6 * one + 0.4 * far
    found, variance = decode_mode(both)
    assert torch.allclose(found, xy, atol=0.3)
    assert (decode(both)[0] - xy).norm(dim=-1).min() > 5
    assert (variance < decode(both)[1]).all()
    flat, _ = decode_mode(torch.full((1, 1, 32, 28), 1 / (32 * 28)))
    assert torch.allclose(flat, torch.tensor([[[13.5, 15.5]]]), atol=1e-3)


def test_the_decoding_is_chosen_on_held_out_pictures_and_kept():
    pictures, xy = blobs(12, (32, 32))
    net = small(HeatmapNet, decoding="mode").fit(pictures, xy)
    assert net.module_.net.at_mode
    other = small(HeatmapNet, decoding="mean").fit(pictures, xy)
    assert not other.module_.net.at_mode
    copy = small(HeatmapNet, decoding="mode")
    copy.set_state(net.get_state())
    copy.size_hw_ = net.size_hw_
    assert copy.module_.net.at_mode and np.array_equal(copy.predict(pictures), net.predict(pictures))
    with pytest.raises(InputError, match="decoding"):
        small(HeatmapNet, decoding="median").fit(pictures, xy)


def test_the_distance_minds_the_peak_at_the_truth_and_no_other():
    truth, far = torch.tensor([[[30.0, 30.0]]]), torch.tensor([[[90.0, 90.0]]])

    def loss(*peaks):
        maps = sum(encode(p, (32, 32), 1.2, stride=4) for p in peaks) / len(peaks)
        return float(map_loss(torch.log(maps + 1e-9), (truth + 0.5) / 4 - 0.5, 0.8))

    alone, torn = loss(truth), loss(truth, far)
    assert alone < torn < alone + 1.0  # half the mass: log 2 more, however far the other peak is
    half_px = loss(truth + 2.0)  # half a map px beside
    assert half_px > alone + 0.4


def test_foreign_and_truncated_checkpoints_are_named(tmp_path):
    path = tmp_path / "run.ckpt"
    _regression(path)
    with pytest.raises(InputError, match="another training"):
        _regression(path, seed=1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"run\.ckpt"):
        _regression(path)


def test_training_leaves_the_global_generator_alone():
    wanted = torch.get_rng_state()
    pictures, xy = blobs(4)
    small(HeatmapNet, max_epochs=1).fit(pictures, xy)
    assert torch.equal(torch.get_rng_state(), wanted)


# ------------------------------------------------------------------ the detectors


@pytest.mark.parametrize("net", NETS)
def test_learns_a_few_pictures_by_heart(net):
    pictures, xy = blobs(8, (32, 32))
    calm = small(net, max_epochs=6, epoch_pictures=72, learning_rate=5e-3)
    calm.augmentation = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    found = calm.fit(pictures, xy, groups=np.zeros(8)).predict(pictures)
    error = np.linalg.norm(found - xy, axis=-1).mean()
    start = np.linalg.norm(xy - xy.mean(0), axis=-1).mean()
    assert error < 0.5 * start, (error, start)


@pytest.mark.parametrize("net", NETS)
def test_same_seed_same_net_and_saved_state_predicts_the_same(net):
    pictures, xy = blobs(10)
    xy[0, 0] = np.nan
    pictures.flags.writeable = xy.flags.writeable = False
    flip = np.array([0, 2, 1])
    first = small(net, random_state=1).fit(pictures, xy, flip=flip)
    again = small(net, random_state=1).fit(pictures, xy, flip=flip)
    points, score = first.predict_with_score(pictures)
    assert np.array_equal(points, again.predict(pictures))
    assert points.dtype == score.dtype == np.float32 and points.shape == (10, 3, 2)
    assert (score >= 0).all() and (score <= 1).all()
    copy = small(net, random_state=1)
    copy.set_state(first.get_state())
    assert np.array_equal(points, copy.predict(pictures))
    assert copy.n_parameters_ == first.n_parameters_ <= 510_000
    one = np.concatenate([first.predict(pictures[b : b + 1]) for b in (3, 0)])
    np.testing.assert_allclose(one, points[[3, 0]], atol=1e-3)
    assert set(first.history_) == {"loss", "validation", "learning_rate"}


@pytest.mark.parametrize("net", NETS)
def test_two_pictures_one_landmark_colour_blank_and_odd_sizes(net):
    pictures, xy = blobs(2, (40, 56), 1)
    colour = np.repeat(pictures[..., None], 3, -1)
    fitted = small(net).fit(colour, xy)
    assert fitted.size_hw_ == (40, 56)
    points, score = fitted.predict_with_score(np.zeros((1, 40, 56), np.uint8))
    assert np.isfinite(points).all() and np.isfinite(score).all()
    with pytest.raises(InputError, match="fitted on"):
        fitted.predict(np.zeros((1, 40, 40), np.uint8))


def test_a_detector_goes_on_from_its_checkpoint(tmp_path):
    pictures, xy = blobs(6)
    path = tmp_path / "net.ckpt"
    short = small(HeatmapNet, checkpoint=path).fit(pictures, xy)
    again = small(HeatmapNet, checkpoint=path).fit(pictures, xy)  # nothing left to do
    assert again.history_ == short.history_
    assert np.array_equal(again.predict(pictures), short.predict(pictures))
    with pytest.raises(InputError, match="another training"):
        small(HeatmapNet, checkpoint=path).fit(pictures, xy + 1)


def test_a_killed_fit_goes_on_from_the_memory(tmp_path, monkeypatch):
    """Only the epochs that are missing are trained, to the same bits."""
    pictures, xy = blobs(6)
    plain = small(HeatmapNet, max_epochs=3)
    wanted = plain.fit(pictures, xy)
    save, saved = training.save_checkpoint, []

    def stopped(*args):
        save(*args)
        saved.append(args[0])
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", stopped)
    with memory.remember(tmp_path), pytest.raises(KeyboardInterrupt):
        memory.fitted(plain, pictures, xy)
    assert len(set(saved)) == 1 and saved[0].exists() and not list(tmp_path.glob("*.hkp"))
    with memory.remember(tmp_path):
        found = memory.fitted(plain, pictures, xy)
    assert len(saved) == 3, "two of three epochs were done"
    assert found.history_ == wanted.history_
    assert np.array_equal(found.predict(pictures), wanted.predict(pictures))
    assert {p.suffix for p in tmp_path.iterdir()} == {".hkp", ".json", ".lock"}


def test_time_before_a_kill_counts(tmp_path):
    path = tmp_path / "run.ckpt"
    _regression(path, epochs=2)
    arrays, about = load_tensors(path, "checkpoint", 1, lambda *parts: parts)
    assert 0 < about["seconds"] < 600
    save_tensors(path, "checkpoint", 1, arrays, about | {"seconds": 5000.0})
    with memory.stopwatch() as watch:
        _regression(path)
    assert 5000 < watch.seconds < 5600


def test_colour_is_seen_where_it_is_and_may_be_switched_off(tmp_path):
    pictures, xy = blobs(12, (48, 48))
    colour = np.stack([pictures, np.roll(pictures, 5, 1), pictures // 2], -1)
    for net in NETS:
        seeing = small(net).fit(colour, xy)
        assert seeing.n_channels_ == 3
        swapped = np.ascontiguousarray(colour[..., ::-1])
        assert np.abs(seeing.predict(swapped) - seeing.predict(colour)).max() > 1e-3
        assert np.isfinite(seeing.predict(pictures)).all()  # grey is colour without any
        copy = small(net)
        copy.set_state(seeing.get_state())
        assert copy.n_channels_ == 3 and np.array_equal(copy.predict(colour), seeing.predict(colour))
        blind = small(net, color=False).fit(colour, xy)
        assert blind.n_channels_ == 1
        grey = np.stack([cv2.cvtColor(c, cv2.COLOR_BGR2GRAY) for c in colour])
        assert np.array_equal(blind.predict(colour), blind.predict(grey))
        assert small(net).fit(grey, xy).n_channels_ == 1


def test_colours_vary_and_grey_pictures_do_not():
    generator = torch.Generator().manual_seed(0)
    grey = torch.full((4, 1, 8, 8), 100.0)
    assert vary_color(grey, Augment(), generator) is grey
    colour = torch.rand(200, 3, 8, 8, generator=generator) * 200
    out = vary_color(colour, Augment(tint=0.1, grey=0.25), generator)
    bleak = (out[:, :1] == out).all(1).all(1).all(1)
    assert 0.15 < bleak.float().mean() < 0.35
    wanted = cv2.cvtColor(colour[bleak][0].permute(1, 2, 0).numpy(), cv2.COLOR_BGR2GRAY)
    np.testing.assert_allclose(out[bleak][0, 0].numpy(), wanted, atol=0.05)
    gain = out[~bleak] / colour[~bleak]
    assert 0.899 < gain.min() < 0.92 and 1.08 < gain.max() < 1.101


@pytest.mark.parametrize("decoding", ["mean", "mode"])
def test_maps_of_a_picture_and_its_mirror_image_are_averaged(decoding, tmp_path):
    from hybridkp import runtime
    from hybridkp.fusion import MirrorAverage
    from hybridkp.imaging.geometry import flip_image, flip_points

    pictures, xy = blobs(12, (48, 64))
    colour, flip = np.stack([pictures, np.roll(pictures, 5, 1), pictures // 2], -1), np.array([0, 2, 1])
    twice = MirrorAverage(small(HeatmapNet, decoding=decoding)).fit(colour, xy, flip=flip)
    maps, score_maps = twice.detector_.score_maps(colour), twice.score_maps(colour)
    other = twice.detector_.score_maps(flip_image(colour, axis=2))[:, flip, :, ::-1]
    np.testing.assert_allclose(score_maps, (maps + other) / 2, atol=1e-5)
    found, score = twice.predict_with_score(colour)
    mirrored, trust = twice.predict_with_score(flip_image(colour, axis=2))
    np.testing.assert_allclose(flip_points(mirrored, 64, flip), found, atol=1e-3)
    np.testing.assert_allclose(trust[:, flip], score, atol=1e-5)
    if decoding == "mean":  # the expectation of a mean is the mean of the expectations
        alone = twice.detector_.predict(colour)
        back = flip_points(twice.detector_.predict(flip_image(colour, axis=2)), 64, flip)
        np.testing.assert_allclose(found, (alone + back) / 2, atol=1e-3)
    asked = twice.detector_.with_mirror(flip)
    with pytest.raises(InputError, match="save the network itself, or heatmap:flip"):
        files.save_model(asked, tmp_path / "asked.hkp")
    assert not (tmp_path / "asked.hkp").exists()
    for engine in ("onnxruntime", "cv2.dnn"):
        exported = runtime.load(runtime.export_runtime(twice, tmp_path / "twice.hkr", {}), engine)
        ours, sure = exported.predict_with_score(colour)
        np.testing.assert_allclose(ours, found, atol=1e-3)
        np.testing.assert_allclose(sure, score, atol=1e-4)


def test_parameter_budgets():
    assert n_parameters(HeatmapModule(make_backbone("unet"), 68)) <= 500_000
    assert n_parameters(DirectModule(make_backbone("encoder"), 68, 128)) <= 500_000


def test_score_maps_agree_with_the_points():
    pictures, xy = blobs(6, (64, 64))
    net = small(HeatmapNet).fit(pictures, xy)
    maps = net.score_maps(pictures, stride=4)
    assert maps.shape == (6, 3, 16, 16)
    np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-4)
    centre = (decode(torch.from_numpy(maps))[0].numpy() + 0.5) * 4 - 0.5
    assert np.abs(centre - net.predict(pictures)).max() < 1.5


@pytest.mark.parametrize("net", NETS)
def test_exported_model_gives_the_same_points(net, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    pictures, xy = blobs(4, (64, 48))
    fitted = small(net).fit(pictures, xy)
    data = fitted.export_onnx(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == data
    with pytest.raises(InputError, match="cannot be written"):
        fitted.export_onnx(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    points, score = fitted.predict_with_score(pictures)
    for b in range(4):
        found = session.run(None, {"image": pictures[b, None, None].astype(np.float32)})
        np.testing.assert_allclose(found[0][0], points[b], atol=1e-3)
        np.testing.assert_allclose(found[1][0], score[b], atol=1e-4)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    network.setInput(pictures[0, None, None].astype(np.float32))
    np.testing.assert_allclose(network.forward(["xy", "score"])[0][0], points[0], atol=1e-3)


# ------------------------------------------------------------------ the schedule


def test_the_default_schedule_has_parameters_like_any_other():
    net = HeatmapNet()
    assert net.schedule is None and net.get_params()["schedule__max_epochs"] == 20
    assert "schedule__max_epochs" not in net.get_params(deep=False)
    assert net.set_params(schedule__max_epochs=7).schedule.get_params() == (
        HeatmapNet.default_schedule(max_epochs=7).get_params()
    )
    assert DirectNet().set_params(**DirectNet().get_params()).get_params()["schedule__patience"] == 15
    copy = clone(net)
    copy.set_params(schedule__max_epochs=9)
    assert net.schedule.max_epochs == 7 and HeatmapNet().get_params()["schedule__max_epochs"] == 20
    with pytest.raises(ValueError, match="'max_epoch'"):
        net.set_params(schedule__max_epoch=3)
    with pytest.raises(TypeError, match="max_epochs"):
        HeatmapNet(max_epochs=3)
    with pytest.raises(InputError, match="schedule must be a Schedule or None, got dict"):
        HeatmapNet(schedule={"max_epochs": 3}).fit(*blobs(4))


@pytest.mark.parametrize("net", [HeatmapNet, DirectNet, PatchCNN])
def test_a_schedule_lives_in_the_model_file(net, tmp_path):
    path = files.save_model(small(net, max_epochs=3), tmp_path / "net.hkp") or tmp_path / "net.hkp"
    assert files.load_model(path).get_params()["schedule__max_epochs"] == 3
    files.save_model(net(), path)
    assert files.load_model(path).schedule is None


def test_a_schedule_by_the_clock_ends_early():
    pictures, xy = blobs(6)
    net = small(HeatmapNet, max_epochs=10_000, minutes=0.01, patience=10_000)
    with memory.stopwatch() as watch:
        net.fit(pictures, xy)
    assert 1 <= len(net.history_["loss"]) < 1000 and watch.seconds < 20
    assert net.history_["learning_rate"][-1] < net.schedule.learning_rate


def test_a_clock_of_the_processor_does_not_run_while_others_work(monkeypatch):
    hours = iter(range(10_000))
    monkeypatch.setattr(training.time, "perf_counter", lambda: 3600.0 * next(hours))
    monkeypatch.setattr(training.time, "process_time", lambda: 1.0)
    plan = Schedule(max_epochs=3, batch_size=8, epoch_pictures=8, minutes=0.01, clock="cpu", device="cpu")
    x, net, seen = torch.linspace(-1, 1, 8)[:, None], torch.nn.Linear(1, 1), []

    def validate(module):
        seen.append(module)
        return 0.0

    supply = Rows((x, x), lambda batch, g: batch, 8, 8, torch.device("cpu"))
    train(net, supply, lambda net, batch: (net(batch[0]) - batch[1]).square().mean(), validate, plan, seed=0)
    assert len(seen) == 3
    train(
        net, supply, lambda net, batch: net(batch[0]).sum(), validate, plan.set_params(clock="wall"), seed=0
    )
    assert len(seen) <= 4, "the time was over before the first epoch was"


def test_bad_parameters_are_named():
    pictures, xy = blobs(4)
    with pytest.raises(InputError, match="clock must be 'wall' or 'cpu', got 'sun'"):
        small(HeatmapNet, clock="sun").fit(pictures, xy)
    with pytest.raises(InputError, match="input_px"):
        small(HeatmapNet, input_px=30).fit(pictures, xy)
    with pytest.raises(InputError, match="device"):
        small(HeatmapNet, device="quantum").fit(pictures, xy)


# ------------------------------------------------------------------ maps for others


@pytest.mark.parametrize("level", ["decoder", "encoder"])
def test_a_cascade_reads_a_networks_maps_also_in_the_runtime(level, tmp_path):
    pytest.importorskip("onnx")
    from hybridkp import runtime
    from hybridkp.deep import HeatmapFeatures
    from hybridkp.landmarks import FastCascade, MeanShape

    pictures, xy = blobs(24, (64, 64))
    maps = HeatmapFeatures(small(HeatmapNet, input_px=64), level)
    cascade = FastCascade(scales=(1.0,), start=MeanShape(), maps=maps).fit(pictures, xy)
    made, stride = cascade.maps_.feature_maps(pictures[:2])
    assert made.shape == (2, 48, 16, 16) and stride == 4.0
    deaf = FastCascade(scales=(1.0,), start=MeanShape()).fit(pictures, xy)
    assert not np.allclose(deaf.predict(pictures), cascade.predict(pictures), atol=0.05)
    exported = runtime.load(runtime.export_runtime(cascade, tmp_path / "cascade.hkr", {}))
    assert np.abs(exported.predict_with_score(pictures[:3])[0] - cascade.predict(pictures[:3])).max() < 0.02


def test_maps_are_refused_with_a_reason():
    from hybridkp.deep import HeatmapFeatures

    with pytest.raises(InputError, match="square"):
        HeatmapFeatures().fit(*blobs(4, (64, 48)))
    with pytest.raises(InputError, match="level"):
        HeatmapFeatures(level="top").fit(*blobs(4))
