"""Depth beside the picture: planes, methods that read them, senses that fail, and the gate that notices."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.checks import make_problem
from hybridkp.datasets import make_faces
from hybridkp.files import load_model, save_model
from hybridkp.imaging import flip_batch
from hybridkp.multimodal import Planes, broken, fill_holes, signs
from hybridkp.multimodal.depth import slopes, tilts
from hybridkp.recipes import make_method
from hybridkp.structures import Batch, InputError, senses_of

PROBLEM = make_problem(36)
PICTURES = PROBLEM.images if PROBLEM.images.ndim == 3 else PROBLEM.images.mean(-1)
#: nearer where the picture is bright; a hole in a corner
DEPTH = (900 - PICTURES.astype(float)).astype(np.uint16)
DEPTH[:, :3, :3] = 0
BATCH = Batch({"image": PROBLEM.images, "depth": DEPTH})
QUICK = "input_px=32,max_epochs=1,epoch_pictures=16"


def fitted(expression, batch=BATCH):
    return make_method(expression).fit(batch, PROBLEM.xy, groups=PROBLEM.groups, flip=PROBLEM.flip)


# --------------------------------------------------------------------------------------------
# planes
# --------------------------------------------------------------------------------------------


def test_holes_are_filled_by_the_nearest_value_and_no_other():
    depth = np.where(np.arange(20) < 10, 700, 2000).astype(np.uint16)[None].repeat(8, 0)
    depth[2:6, 7:12] = 0
    whole = fill_holes(depth)
    assert set(np.unique(whole)) == {700, 2000} and (depth == 0).mean() == pytest.approx(20 / 160)
    assert (whole[3, :10] == 700).all() and (whole[3, 10:] == 2000).all()
    assert (fill_holes(np.zeros((4, 4), np.uint16)) == 0).all()


def test_normals_of_a_tilted_plane_are_those_of_the_plane():
    y, x = np.mgrid[:30, :40].astype(np.float32)
    slope = slopes(1000 + 3 * x - 4 * y)[10:20, 10:30]
    np.testing.assert_allclose(slope, np.broadcast_to([3.0, -4.0], slope.shape), atol=1e-3)
    up, facing = np.moveaxis(tilts(slope, 5.0), -1, 0)
    np.testing.assert_allclose(facing, 1 / np.sqrt(2), atol=1e-4)
    np.testing.assert_allclose(up, 4 / np.sqrt(50), atol=1e-4)


def test_planes_move_with_the_picture_and_mean_the_same_in_the_mirror():
    planes = Planes(("image", "depth", "normals")).fit(BATCH)
    seen = planes.planes(BATCH)
    assert seen.shape == (*PICTURES.shape, 4) and seen.dtype == np.uint8
    turned = planes.planes(flip_batch(BATCH))[:, :, ::-1]
    far = np.s_[:, 8:, 8:-8]  # from the hole, whose nearest pixel may be another one
    assert np.abs(turned[far].astype(int) - seen[far]).max() <= 1


def test_scales_are_learned_from_training_crops_alone():
    planes = Planes(("depth",)).fit(BATCH[:12])
    spread = planes.spread_
    near = BATCH.replace(depth=(DEPTH + 500 * (DEPTH > 0)).astype(np.uint16))
    assert np.array_equal(planes.planes(near), planes.planes(BATCH)), "a crop's own depth does not count"
    assert planes.spread_ == spread
    nothing = planes.planes(BATCH.replace(depth=np.zeros_like(DEPTH)))
    assert set(np.unique(nothing)) <= {127, 128}


@pytest.mark.parametrize(
    ("expression", "batch", "said"),
    [
        ("hog+ridge[inputs=depth]", PROBLEM.images, "no 'depth', only image"),
        ("hog+ridge[inputs=image:smell]", BATCH, "inputs=image:smell: give some of image, depth, normals"),
        ("hog+ridge[inputs=depth]", BATCH.replace(depth=np.zeros_like(DEPTH)), "no crop has any value"),
        ("sdm[inputs=depth]", BATCH.replace(depth=DEPTH[:, :9]), "both need one size"),
        ("hog+svm[inputs=image:depth:normals]", BATCH, "are 4 planes"),
        (f"heatmap[inputs=image:depth,dropout=1,{QUICK}]", BATCH, "dropout must lie in 0..1"),
        ("gate(hog+ridge[inputs=image:depth],sdm[inputs=image:depth])", BATCH, "needs one that does without"),
    ],
)
def test_what_cannot_be_is_told(expression, batch, said):
    with pytest.raises(InputError, match=said):
        fitted(expression, batch)


# --------------------------------------------------------------------------------------------
# methods
# --------------------------------------------------------------------------------------------

METHODS = {
    "hog+ridge[inputs=image:depth:normals]": ("image", "depth"),
    "sdm[inputs=depth]": ("depth",),
    "sdm[inputs=image:normals,scales=1]": ("image", "depth"),
    "mean-shape:sdm[inputs=depth]": ("depth", "image"),
    "lbf[inputs=normals,n_trees=2,max_depth=3]": ("depth",),
    f"heatmap[inputs=image:depth,{QUICK}]": ("image", "depth"),
}


@pytest.mark.parametrize("expression", METHODS)
def test_methods_read_depth_and_come_back_from_a_file(expression, tmp_path):
    model = fitted(expression)
    assert senses_of(model) == METHODS[expression]
    assert model.predict(BATCH[:2].replace(image=PICTURES[:2].astype(np.uint8))).shape == (2, 5, 2)
    found = model.predict(BATCH)
    save_model(model, tmp_path / "model.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "model.hkp").predict(BATCH), found)
    other = model.predict(broken(BATCH, "depth", "shuffled"))
    assert np.abs(other - found).max() > 1e-4, "the depth is read"
    with pytest.raises(InputError, match=r"exported|depth"):
        model.runtime_node()


def test_rows_of_two_senses_stand_side_by_side():
    both, image = fitted("hog+ridge[inputs=image:depth]"), fitted("hog+ridge")
    assert len(both.weights_) == 2 * len(image.weights_)
    blind = BATCH.replace(image=np.zeros_like(PROBLEM.images))
    depth = fitted("hog+ridge[inputs=depth]")
    np.testing.assert_array_equal(depth.predict(BATCH[:3]), depth.predict(blind[:3]))


def test_light_varies_in_the_picture_alone_and_one_map_moves_all():
    torch = pytest.importorskip("torch")
    from hybridkp.deep.augment import Augment, augment

    planes = torch.linspace(0, 250, 64).expand(6, 2, 64, 64).clone()
    xy, amount = torch.full((6, 1, 2), 20.0), Augment(noise=0, occlusion=0)

    def varied(dropout):
        widths = (("image", 1), ("depth", 1))
        return augment(planes, xy, amount, torch.Generator().manual_seed(0), None, widths, dropout)

    moved, points = varied(0.0)
    for row, (x, y) in zip(moved[:, 1], points[:, 0].round().long().tolist(), strict=True):
        assert abs(float(row[y, x]) - 20 * 250 / 63) < 4, "the depth under a point is that point's"
    assert (moved[:, 0] - moved[:, 1]).abs().mean() > 5, "the light of the picture is another"
    flat = (varied(0.99)[0].flatten(2).std(-1) == 0).sum(1)
    assert (flat == 1).all(), "one of two is hidden, never both"


# --------------------------------------------------------------------------------------------
# senses that fail
# --------------------------------------------------------------------------------------------


def test_no_row_stays_where_it_was_and_noise_shows():
    shuffled = broken(BATCH, "depth", "shuffled")["depth"]
    assert not any(np.array_equal(a, b) for a, b in zip(shuffled, DEPTH, strict=True))
    assert sorted(map(bytes, shuffled)) == sorted(map(bytes, DEPTH))
    rough = signs(broken(BATCH, "depth", "noise"), ("depth",))[:, 2]
    assert (rough > 2 * signs(BATCH, ("depth",))[:, 2]).all()
    assert broken(Batch({"text": ["a", "b"]}), "text", "zeros")["text"].tolist() == ["", ""]
    lines = broken(Batch({"words": [[(1, 2, 9, 5, "total")], []]}), "words", "noise")["words"]
    assert lines[0][0][:4] == (1, 2, 9, 5) and lines[1] == ()
    assert len(lines[0][0][4]) == 5 and lines[0][0][4] != "total"
    none = BATCH[:0]
    assert signs(none, ("image", "depth")).shape == (0, 8) and len(broken(none, "depth", "noise")) == 0
    with pytest.raises(InputError, match="cannot be broken by 'dark'"):
        broken(BATCH, "depth", "dark")


@pytest.fixture(scope="module")
def gate():
    return fitted("gate(hog+ridge,hog+ridge[inputs=depth],hog+ridge[inputs=image:depth])")


def test_a_gate_asks_those_that_do_without_a_broken_sense(gate):
    sees = np.array([[sense in senses_of(member) for _, member in gate.members] for sense in gate.senses_])
    for sense, those in zip(gate.senses_, sees, strict=True):
        for way in ("noise", "zeros"):
            asked = gate.trusted(broken(BATCH, sense, way, 1))
            assert asked.any(1).all() and asked[:, those].mean() < 0.1, (sense, way)
    assert gate.trusted(BATCH)[:, sees[1]].mean() > 0.3, "depth that works is asked"


def test_a_gate_comes_back_from_a_file(gate, tmp_path):
    save_model(gate, tmp_path / "gate.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "gate.hkp").predict(BATCH), gate.predict(BATCH))
    with pytest.raises(InputError, match="cannot be exported"):
        gate.runtime_node()


# --------------------------------------------------------------------------------------------
# drawn faces
# --------------------------------------------------------------------------------------------


def test_the_depth_of_a_drawn_face_is_that_of_its_points():
    from hybridkp.datasets.synthetic import faces

    data = make_faces(2, (96, 96), 5, noise=0, occlusion=0)
    for i, sample in enumerate(data):
        depth = sample.modalities["depth"]()
        assert depth.dtype == np.uint16 and depth.shape == (96, 96)
        knobs = dict(zip(faces._KNOBS, (1, 1, 1, 1, 0, 0), strict=True))
        _, view, points, _ = faces._plan(i, (96, 96), 5, knobs)
        x, y = np.rint(sample.instances[0].xy).astype(int).T
        away = depth[y, x] + faces.HEAD_MM * view.project(points)[:, 2]
        seen = sample.instances[0].visibility == 2
        assert np.abs(away[seen] - np.median(away[seen])).max() < 15, "mm, at the nearest pixel"
