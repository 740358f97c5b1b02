"""The zoo of networks: backbones, heads and losses, each with each, in every engine."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
ort = pytest.importorskip("onnxruntime")

from hybridkp import files, recipes  # noqa: E402
from hybridkp.checks import make_problem  # noqa: E402
from hybridkp.deep import DirectNet, HeatmapNet, SimCCNet  # noqa: E402
from hybridkp.deep import losses as of  # noqa: E402
from hybridkp.deep.augment import Augment  # noqa: E402
from hybridkp.deep.devices import n_parameters  # noqa: E402
from hybridkp.deep.direct import DirectModule  # noqa: E402
from hybridkp.deep.estimator import Pipeline  # noqa: E402
from hybridkp.deep.export import export_onnx  # noqa: E402
from hybridkp.deep.heatmap import HeatmapModule  # noqa: E402
from hybridkp.deep.networks import (  # noqa: E402
    Backbone,
    Hourglass,
    HRNet,
    Plain,
    Pyramid,
    architectures,
    make_backbone,
)
from hybridkp.deep.networks.scales import FUSIONS, halved  # noqa: E402
from hybridkp.deep.networks.unpool import unpool  # noqa: E402
from hybridkp.deep.simcc import SimCCModule  # noqa: E402
from hybridkp.files.onnx_check import check_own  # noqa: E402
from hybridkp.structures import InputError  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

NAMES = sorted(architectures())
STARTS = ("plain", "deconv", "unpool", "hourglass", "hrnet", "pyramid")
EIGHT = make_problem(8, side=32)
#: eight crops by heart: no augmentation, no held-out rows, 100 steps
BY_HEART = {"input_px": 32, "max_epochs": 5, "epoch_pictures": 160, "batch_size": 8, "patience": 99}
BY_HEART |= {"learning_rate": 6e-3, "average": 0.0, "precision": "float32", "validation_fraction": 0.0}
STILL = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def parts(estimator: Any, **params: Any) -> Any:
    """An estimator with parameters by name, those of its schedule and of its backbone too."""
    return recipes.with_parameters(estimator, params)


def shaken(module: Any, seed: int = 0) -> Any:
    """Batch norms as if trained: a graph that forgets them would be found out."""
    generator = torch.Generator().manual_seed(seed)
    for one in module.modules():
        if isinstance(one, torch.nn.BatchNorm2d):
            one.running_mean.normal_(0, 0.3, generator=generator)
            one.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


def assert_every_engine_agrees(pipeline: Any, channels: int, side: int) -> None:
    """torch, ONNX Runtime and cv2.dnn to a few thousandths of a px, and only operators that ours may have.

    What is promised is 1e-2 px; OpenCV 4.14 adds up coarsely enough to be 1.2e-3 px off.
    """
    image = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        xy, score = (found.numpy() for found in pipeline(image))
    assert np.ptp(xy, axis=1).min() > 1e-3, "all points in one place say nothing"
    data = export_onnx(pipeline, (channels, side, side))
    assert check_own(data) == {"xy": xy.shape, "score": score.shape}
    found = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"image": image.numpy()})
    network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    network.setInput(image.numpy())
    for points, trust in (found, network.forward(["xy", "score"])):
        np.testing.assert_allclose(points, xy, atol=3e-3)
        np.testing.assert_allclose(trust, score, atol=1e-4)


# ------------------------------------------------------------------ backbones


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_backbones_keep_their_contract(name: str, channels: int) -> None:
    backbone = make_backbone(name, channels, 48).eval()
    for height, width in ((64, 64), (48, 80)):
        pictures = torch.rand(2, channels, height, width)
        with torch.no_grad():
            features, local, staged = backbone(pictures), backbone.local(pictures), backbone.staged(pictures)
        wanted = (2, backbone.n_features, -(-height // backbone.stride), -(-width // backbone.stride))
        assert features.shape == wanted and local.shape[2:] == wanted[2:]
        assert len(staged) == backbone.n_stages and torch.equal(staged[-1], features)
        assert all(maps.shape == wanted for maps in staged)
    assert 40_000 < n_parameters(backbone) <= 800_000
    assert name == "dense" or re.search(r"\(\D+ \d{4}", architectures()[name].__doc__), "its paper"


HEADS = {
    "maps": lambda backbone, side: HeatmapModule(backbone, 5),
    "heights": lambda backbone, side: HeatmapModule(backbone, 5, heights=True),
    "coordinates": lambda backbone, side: DirectModule(backbone, 5, side),
    "axes": lambda backbone, side: SimCCModule(backbone, 5, side, 2),
}


@pytest.mark.parametrize("name", NAMES)
def test_any_backbone_serves_any_head_in_every_engine(name: str) -> None:
    """Two heads for each backbone, the other two for the next: each pair of neighbours meets all four."""
    torch.manual_seed(0)
    made = list(zip(HEADS.values(), (48, 64, 64, 48), strict=True))
    for head, side in made[NAMES.index(name) % 2 :: 2]:
        net = head(make_backbone(name, 3, side), side)
        if hasattr(net.head, "linear"):  # as trained: at first it gives the mean shape
            torch.nn.init.normal_(net.head.linear.weight, std=0.1)
        assert_every_engine_agrees(shaken(Pipeline(net, side)), 3, side)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_any_fusion_of_any_levels_in_every_engine(fusion: str) -> None:
    """Three levels of one trunk, or two of their own, in turn: a fusion does not know whose they are."""
    torch.manual_seed(0)
    levels, shared = ((3, True), (2, False))[list(FUSIONS).index(fusion) % 2]
    backbone = make_backbone(Pyramid(levels=levels, fusion=fusion, shared=shared, width=16), 1, 48)
    assert_every_engine_agrees(shaken(Pipeline(HeatmapModule(backbone, 4), 48)), 1, 48)


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"single"}))
def test_a_fusion_sees_every_level(fusion: str) -> None:
    scales = [torch.rand(1, 8, 6, 6, requires_grad=True) for _ in range(3)]
    torch.manual_seed(0)
    fused = FUSIONS[fusion](3, 8).train(fusion == "choice")(scales)  # asked, a choice sees one level
    assert fused.shape == scales[0].shape
    fused[:, :, 3, 3].sum().backward()
    assert all(scale.grad[..., 3, 3].abs().sum() > 0 for scale in scales)


def test_a_level_is_centred_where_the_picture_is() -> None:
    """A blob keeps its place, x' = (x + 1/2) / 2 - 1/2: half a px beside is seen."""
    y, x = np.mgrid[:64, :64]
    blob = torch.from_numpy(np.exp(-((x - 30.3) ** 2 + (y - 25.8) ** 2) / 50)).float()[None, None]
    half = halved(blob)[0, 0].numpy()
    y, x = np.mgrid[:32, :32]
    centre = [(half * x).sum() / half.sum(), (half * y).sum() / half.sum()]
    np.testing.assert_allclose(centre, [(30.3 + 0.5) / 2 - 0.5, (25.8 + 0.5) / 2 - 0.5], atol=0.01)


def test_unpooling_puts_values_back_where_the_maxima_were() -> None:
    before = torch.randperm(64).float().view(1, 1, 8, 8)
    pooled, index = torch.nn.functional.max_pool2d(before, 2, return_indices=True)
    values = torch.rand(1, 1, 4, 4)
    wanted = torch.nn.functional.max_unpool2d(values, index, 2)
    assert torch.equal(unpool(values, pooled, before), wanted)


@pytest.mark.parametrize("kernel, depth", [(3, 2), (3, 3), (5, 3)])
def test_the_receptive_field_is_what_an_output_sees(kernel: int, depth: int) -> None:
    plain = Plain(kernel=kernel, depth=depth, width=4)
    side = 16 * 2**depth
    backbone = make_backbone(plain, 1, side).eval()
    for one in backbone.modules():
        if isinstance(one, torch.nn.Conv2d):
            torch.nn.init.constant_(one.weight, 1.0)
    pictures = torch.rand(1, 1, side, side)
    pictures.requires_grad_()
    reached = torch.zeros(side)
    for seed in range(20):  # a maximum lets one px through: together they let all
        torch.manual_seed(seed)
        noise = torch.rand(1, 1, side, side, requires_grad=True)
        backbone(noise)[0, :, 8, 8].sum().backward()
        reached += noise.grad[0, 0].abs().sum(0)
    seen = torch.nonzero(reached).ravel()
    assert int(seen.max() - seen.min()) + 1 == plain.receptive_field


def test_every_stack_has_a_loss_and_only_the_last_is_asked() -> None:
    module = HeatmapModule(make_backbone(Hourglass(stacks=3, width=8), 1, 32), 2).train()
    pictures, xy = torch.rand(2, 1, 32, 32) * 255, torch.full((2, 2, 2), 12.0)
    HeatmapNet()._loss(module, pictures, xy).backward()
    heads = [*module.early, module.head]
    assert len(heads) == 3 and all(head.weight.grad.abs().sum() > 0 for head in heads)
    module.eval()
    before = module.maps(pictures)
    torch.nn.init.zeros_(module.early[0].weight)
    assert torch.equal(module.maps(pictures), before)


def test_the_branches_of_hrnet_tell_each_other() -> None:
    """A px far away reaches the finest maps through the coarse ones, and only through them."""
    reach = {}
    for branches in (1, 3):
        backbone = make_backbone(HRNet(branches=branches, width=4), 1, 128).eval()
        pictures = torch.rand(1, 1, 128, 128, requires_grad=True)
        backbone(pictures)[0, :, 16, 16].sum().backward()
        seen = torch.nonzero(pictures.grad[0, 0].abs().sum(0)).ravel()
        reach[branches] = int(seen.max() - seen.min())
    assert reach[3] > 2 * reach[1]


# ------------------------------------------------------------------ heads, losses, and all of it together


@pytest.mark.slow
@pytest.mark.parametrize("start", [*STARTS, "heatmap", "direct", "simcc", "pyramid[fusion=transformer]"])
def test_eight_crops_by_heart_exported_and_read_again(start: str, tmp_path: Any) -> None:
    net = parts(recipes.make_method(start), **BY_HEART)
    net.augmentation = STILL
    images = EIGHT.images
    found = net.fit(images, EIGHT.xy).predict(images)
    error = np.linalg.norm(found - EIGHT.xy, axis=-1).mean()
    assert error < 1, f"{error:.2f} px"
    files.save_model(net, tmp_path / "net.hkp")
    again = files.load_model(tmp_path / "net.hkp")
    assert np.array_equal(again.predict(images), found)
    data, image = net.export_onnx(), np.moveaxis(images[:1], 3, 1).astype(np.float32)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["xy"], {"image": image})[0], found[:1], atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head, loss",
    [(HeatmapNet, loss) for loss in ("cross-entropy", "l2-maps", "adaptive-wing", "l2", "wing")]
    + [(DirectNet, "l2"), (SimCCNet, "l2"), (SimCCNet, "wing")],
)
def test_a_loss_teaches_its_head(head: Any, loss: str) -> None:
    net = parts(head(backbone=Hourglass(stacks=1, depth=2, width=16), loss=loss), **BY_HEART)
    net.augmentation = STILL
    found = net.fit(EIGHT.images, EIGHT.xy).predict(EIGHT.images)
    floor = np.linalg.norm(EIGHT.xy - EIGHT.xy.mean(0), axis=-1).mean()
    error = np.linalg.norm(found - EIGHT.xy, axis=-1).mean()
    assert error < 0.7 * floor, f"{error:.2f} px; the mean shape is off by {floor:.2f}"


def test_losses_are_lowest_at_the_truth_and_see_half_a_pixel() -> None:
    xy = torch.tensor([[[6.3, 9.6], [float("nan"), 3.0]]])
    for name, loss in of.MAP_LOSSES.items():
        at = {}
        for shift in (0.0, 0.5, 4.0):
            hill = of._hills(xy + shift, torch.zeros(1, 2, 16, 16), 0.8).nan_to_num()
            logits = hill if name in of.OF_HEIGHTS else torch.log(hill + 1e-9)
            at[shift] = float(loss(logits, xy, 0.8))
        assert np.isfinite(list(at.values())).all() and at[0.0] < at[0.5] < at[4.0], (name, at)
    for loss in of.POINT_LOSSES:
        values = [float(of.point_loss(loss, xy + shift, xy, 64)[0].nansum()) for shift in (0.0, 0.5, 4.0)]
        assert values[0] == 0 and values[0] < values[1] < values[2]


def test_wing_losses_are_continuous_at_their_knees() -> None:
    below, above = (of.wing(torch.tensor(4.0 + off)) for off in (-1e-5, 1e-5))
    assert abs(float(above - below)) < 1e-4
    target = torch.tensor([[[3.0, 3.0]]])
    hill = of._hills(target, torch.zeros(1, 1, 8, 8), 0.8)
    for sign in (-1, 1):
        near, far = (float(of.adaptive_wing(hill + sign * (0.5 + off), target, 0.8)) for off in (-1e-5, 1e-5))
        assert abs(near - far) < 1e-3 * near


def test_all_hang_together_in_the_grammar() -> None:
    net = recipes.make_method("pyramid[fusion=convgru,input_px=64,levels=2,loss=adaptive-wing]")
    assert isinstance(net, HeatmapNet) and net.backbone.get_params() == {
        **Pyramid().get_params(),
        "fusion": "convgru",
        "levels": 2,
    }
    assert (net.input_px, net.loss) == (64, "adaptive-wing")
    assert recipes.make_method("simcc[backbone=hourglass[stacks=1]]").backbone.stacks == 1
    assert isinstance(recipes.make_method("plain[kernel=5]"), DirectNet)
    assert recipes.canonical("unet:flip") == "heatmap:flip" and recipes.family("hrnet") == "deep"
    assert recipes.make_method("heatmap[backbone=deconv]").get_params()["backbone__width"] == 48


# ------------------------------------------------------------------ what is wrong, in a line

MISTAKES = {
    "pyramid[levels=0]": "pyramid: levels must be a whole number from 1 to 5, got 0",
    "pyramid[levels=4]": "pyramid: level 4 of a picture of 32 px has 4 px",
    "pyramid[fusion=atention]": "pyramid: no fusion 'atention': did you mean 'attention'?",
    "hourglass[stacks=5]": "hourglass: stacks must be a whole number from 1 to 4, got 5",
    "hourglass[depth=4]": "hourglass: depth=4 needs pictures of 64 px, got 32",
    "plain[kernel=7]": "field of 50 px is larger than the picture of 32 px: give input_px=64",
    "plain[kernel=4]": "plain: kernel must be odd, got 4",
    "hrnet[width=0]": "hrnet: width must be a whole number from 2 to 256, got 0",
    "encoder": "'encoder' is a backbone",
    "direct[loss=cross-entropy]": "cannot take the loss 'cross-entropy': coordinates take l2, wing",
    "simcc[loss=l2-maps]": "one-dimensional maps cannot take the loss 'l2-maps'",
    "heatmap[loss=huber]": "there is no loss 'huber': maps take peak, cross-entropy, l2-maps",
    "simcc[split=0]": "simcc: split must be 1 to 8",
    "heatmap[backbone=unett]": "did you mean 'heatmap[backbone=unet]'?",
}


@pytest.mark.parametrize("expression", MISTAKES)
def test_a_mistake_is_one_line(expression: str) -> None:
    with pytest.raises(InputError) as told:
        net = parts(recipes.make_method(expression), input_px=32, max_epochs=1)
        net.fit(EIGHT.images, EIGHT.xy)
    assert MISTAKES[expression] in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("head", [HeatmapNet, DirectNet, SimCCNet])
def test_an_unknown_backbone_is_told_with_a_guess(head: Any) -> None:
    with pytest.raises(InputError, match="no backbone 'unett': did you mean 'unet'"):
        head(backbone="unett").fit(EIGHT.images, EIGHT.xy)
    with pytest.raises(InputError, match=f"no backbone 'zzz': there are {', '.join(NAMES)}"):
        head(backbone="zzz").fit(EIGHT.images, EIGHT.xy)
    with pytest.raises(
        InputError, match=r"backbone must be a name, an architecture or a torch\.nn\.Module, got int"
    ):
        head(backbone=3).fit(EIGHT.images, EIGHT.xy)


# ------------------------------------------------------------------ anybody's module


def tiny(*more: Any) -> Any:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 12, 3, 2, 1),
        torch.nn.ReLU(),
        *more,
    )


@pytest.mark.parametrize("head", [HeatmapNet, DirectNet, SimCCNet])
def test_anybodys_module_is_a_backbone(head: Any, tmp_path: Any) -> None:
    module = tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = parts(head(backbone=module), input_px=32, max_epochs=1, epoch_pictures=16)
    net.fit(EIGHT.images, EIGHT.xy)
    backbone: Backbone = net.module_.net.backbone
    assert (backbone.n_features, backbone.stride) == (12, 4)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()), (
        "a copy is trained"
    )
    assert_every_engine_agrees(net.module_, 3, 32) if head is not DirectNet else None
    with pytest.raises(InputError, match=r"Sequential cannot be saved in a model file"):
        files.save_model(net, tmp_path / "net.hkp")
    assert not list(tmp_path.iterdir())


def test_a_module_that_breaks_the_contract_is_told() -> None:
    for module, words in (
        (torch.nn.Conv2d(1, 4, 3), r"Conv2d fails on pictures \(1, 3, 32, 32\): RuntimeError"),
        (tiny(torch.nn.Flatten()), r"must give features \(B, F, H / s, W / s\), got \(1, 768\)"),
        (torch.nn.Conv2d(3, 4, 4), "makes 29 px of 32, which is no whole stride"),
    ):
        with pytest.raises(InputError, match=words):
            parts(HeatmapNet(backbone=module), input_px=32).fit(EIGHT.images, EIGHT.xy)


# ------------------------------------------------------------------ transfer

MARKS = ("left ring", "right ring", "left cross", "right cross", "disc")
SHORT = {"input_px": 32, "epoch_pictures": 160, "batch_size": 8, "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small network that knows the five marks, in a file."""
    path = tmp_path_factory.mktemp("learned") / "marks.hkp"
    marks = make_problem(40, random_state=5, side=32)
    net = parts(HeatmapNet(backbone=HRNet(branches=2, width=8)), **SHORT, max_epochs=4, learning_rate=6e-3)
    files.save_model(net.fit(marks.images, marks.xy, groups=marks.groups), path, {"landmarks": MARKS})
    return path


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [False, True])
def test_a_training_starts_where_another_ended(learned: Any, freeze: bool) -> None:
    order = [4, 0, 2]
    old = files.load_model(learned).module_.net
    plain = parts(HeatmapNet(backbone=HRNet(branches=2, width=8)), **SHORT, max_epochs=1)
    started = recipes.with_pretrained(
        parts(HeatmapNet(backbone=HRNet(branches=2, width=8)), **SHORT, max_epochs=1, learning_rate=1e-3),
        learned,
        [*(MARKS[k] for k in order), "tail"],
        freeze,
    )
    fresh = HeatmapModule(make_backbone(HRNet(branches=2, width=8), 3, 32), 4)
    tail = fresh.head.weight[3].clone()
    started.initial.start(fresh)
    assert torch.equal(fresh.head.weight[:3], old.head.weight[order]) and torch.equal(
        fresh.head.weight[3], tail
    )
    assert torch.equal(fresh.backbone.mix[0].weight, old.backbone.mix[0].weight)
    images, xy = EIGHT.images, np.concatenate([EIGHT.xy[:, order], EIGHT.xy[:, :1]], 1)
    errors = {}
    for name, net in (("scratch", plain), ("start", started)):
        found = net.fit(images, xy).predict(images)[:, :3]
        errors[name] = np.linalg.norm(found - xy[:, :3], axis=-1).mean()
    assert errors["start"] < 0.8 * errors["scratch"], errors
    kept = torch.equal(started.module_.net.backbone.mix[0].weight, old.backbone.mix[0].weight)
    assert kept is freeze


def test_a_grey_network_starts_from_one_of_colour(learned: Any) -> None:
    """Where all channels are the same, both see the same."""
    net = recipes.with_pretrained(HeatmapNet(color=False), learned, MARKS)
    grey = HeatmapModule(make_backbone(HRNet(branches=2, width=8), 1, 32), len(MARKS)).eval()
    net.initial.start(grey)
    crops = torch.as_tensor(EIGHT.images[:4, ..., :1].copy()).permute(0, 3, 1, 2).float()
    old = files.load_model(learned).module_.net.eval()
    with torch.no_grad():
        got, wanted = grey.backbone(crops), old.backbone(crops.repeat(1, 3, 1, 1))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_a_start_is_told(learned: Any, tmp_path: Any) -> None:
    other = recipes.with_pretrained(HeatmapNet(32, backbone="unpool"), learned, MARKS)
    with pytest.raises(InputError, match="its backbone, a HRNetModule, shares no weights with UnpoolModule"):
        other.fit(EIGHT.images, EIGHT.xy)
    copy = tmp_path / "copy.hkp"
    copy.write_bytes(learned.read_bytes())
    changed = recipes.with_pretrained(HeatmapNet(32), copy, MARKS)
    files.save_model(files.load_model(learned), copy, {"landmarks": MARKS[:2]})
    with pytest.raises(InputError, match=r"copy\.hkp: has changed since"):
        changed.fit(EIGHT.images, EIGHT.xy)
    mean = recipes.make_method("mean-shape")
    with pytest.raises(InputError, match="nothing in this method starts from another"):
        recipes.with_pretrained(mean, learned, MARKS)
    files.save_model(mean.fit(EIGHT.images, EIGHT.xy), tmp_path / "mean.hkp")
    with pytest.raises(InputError, match="holds a MeanShape: a start is one network"):
        recipes.with_pretrained(HeatmapNet(), tmp_path / "mean.hkp", MARKS)


def test_the_command_starts_from_a_file(learned: Any, tmp_path: Any, capsys: Any) -> None:
    from hybridkp.cli import main

    short = ["--max-train", "8", "--param", "max_epochs=1", "--param", "epoch_pictures=8", "--crop", "32"]
    command = [
        "train",
        "synthetic",
        "--method",
        "heatmap[backbone=hrnet[branches=2,width=8],input_px=32]",
        *short,
    ]
    new = tmp_path / "new.hkp"
    assert main([*command, "--from", str(learned), "--freeze", "-o", str(new)]) == 0
    initial = files.load_model(new).detector_.initial
    assert initial.freeze and initial.file == str(learned) and set(initial.rows) == {-1}
    assert main([*command, "--freeze", "-o", str(new)]) == 2
    assert "--freeze needs --from MODEL" in capsys.readouterr().err
