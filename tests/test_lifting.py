"""Points in one picture to points in space: lifters, their fusion, cameras from pairs, the command."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from hybridkp.cli import main
from hybridkp.files import load_model, save_model
from hybridkp.lifting import (
    LIFTERS,
    ForestLifter,
    FusedLifter,
    KernelRidgeLifter,
    NetworkLifter,
    PosePairs,
    RidgeLifter,
    ShapeLifter,
    camera_frame,
    choose_lifter,
    load_pairs,
)
from hybridkp.lifting.pairs import in_camera
from hybridkp.metrics import mpjpe, p_mpjpe
from hybridkp.multiview import ViewFusion
from hybridkp.structures import InputError

K = 8
BASE = np.random.default_rng(0).normal(0, 0.3, (K, 3))
BENDS = np.random.default_rng(1).normal(0, 0.06, (3, K, 3))


def poses(n, seed, turn=0.4):
    """Shapes that bend in three ways and turn about the upright axis, seen by a camera four metres away."""
    rng = np.random.default_rng(seed)
    shape = BASE + np.einsum("bi,ikj->bkj", rng.normal(0, 1, (n, 3)), BENDS)
    a = rng.uniform(-turn, turn, n)
    about = np.zeros((n, 3, 3))
    about[:, 0, 0], about[:, 0, 2], about[:, 1, 1] = np.cos(a), np.sin(a), 1
    about[:, 2, 0], about[:, 2, 2] = -np.sin(a), np.cos(a)
    xyz = shape @ np.swapaxes(about, 1, 2)
    xy = 700 * xyz[..., :2] / (xyz[..., 2:] + 4) + 300
    return xy, xyz


@pytest.mark.parametrize(
    ("lifter", "share"),
    [
        (RidgeLifter(alpha=0.01), 0.3),
        (KernelRidgeLifter(alpha=1e-3, max_rows=300), 0.3),
        (ForestLifter(n_trees=15), 0.8),
        (NetworkLifter(units=64, max_epochs=80), 0.8),
        (ShapeLifter(n_components=3, prior=1e-3), 0.5),
    ],
)
def test_every_lifter_beats_the_mean_pose_and_comes_back_from_a_file(lifter, share, tmp_path):
    xy, xyz = poses(300, 2)
    new, truth = poses(60, 3)
    truth = truth - truth[:, [0]]
    mean = np.broadcast_to((xyz - xyz[:, [0]]).mean(0), truth.shape)
    made = clone(lifter).fit(xy, xyz)
    said = made.predict(new)
    assert mpjpe(truth, said).mean() < share * mpjpe(truth, mean).mean()
    np.testing.assert_allclose(said[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(made.predict(new[[5, 2]]), said[[5, 2]], atol=1e-9)
    holed = new[:3].copy()
    holed[1, 4] = np.nan
    again = made.predict(holed)
    assert np.isnan(again[1]).all() and np.isfinite(again[[0, 2]]).all()
    save_model(made, tmp_path / "lifter.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "lifter.hkp").predict(new), said)


def test_half_a_pixel_more_in_size_is_seen():
    """Ridge on exact pairs: the error stays under what half a pixel of 700 px focal length means."""
    xy, xyz = poses(300, 2, turn=0.0)
    new, truth = poses(60, 3, turn=0.0)
    made = RidgeLifter(alpha=1e-8).fit(xy, xyz)
    error = mpjpe(truth - truth[:, [0]], made.predict(new)).mean()
    shifted = new.copy()
    shifted[:, 4:] += 0.5
    assert mpjpe(truth - truth[:, [0]], made.predict(shifted)).mean() > 2 * error


def test_fusion_weighs_by_what_members_did_not_see():
    xy, xyz = poses(200, 2)
    new, truth = poses(60, 3)
    truth = truth - truth[:, [0]]
    members = [RidgeLifter(alpha=0.01), RidgeLifter(alpha=1e5)]
    stack = FusedLifter(members, "stack").fit(xy, xyz, groups=np.arange(200) // 10)
    assert (stack.weights_[0, 1:] > 0.9).all() and np.allclose(stack.weights_.sum(0), 1)
    errors = {
        name: mpjpe(truth, made.predict(new)).mean()
        for name, made in {"stack": stack, "average": FusedLifter(members, "average").fit(xy, xyz)}.items()
    }
    alone = mpjpe(truth, clone(members[0]).fit(xy, xyz).predict(new)).mean()
    assert errors["stack"] < 1.1 * alone < errors["average"]
    with pytest.raises(InputError, match="several roots"):
        FusedLifter([RidgeLifter(), RidgeLifter(root=1)]).fit(xy, xyz)


def test_settings_are_chosen_on_folds():
    xy, xyz = poses(120, 2)
    lifter, errors = choose_lifter("ridge", xy, xyz, np.arange(120) // 10)
    assert len(errors) == 6 and lifter.alpha == LIFTERS["ridge"][1][int(np.argmin(errors))]["alpha"]
    assert {len(settings) for _, settings in LIFTERS.values()} == {6}, "one budget for all"
    with pytest.raises(InputError, match="no lifter 'magic'"):
        choose_lifter("magic", xy, xyz, np.arange(120))


@pytest.mark.parametrize(
    ("xy", "xyz", "says"),
    [
        (np.zeros((20, K, 3)), np.zeros((20, K, 3)), "xy must have shape"),
        (np.zeros((20, K, 2)), np.zeros((20, K, 2)), "xyz must have shape"),
        (np.full((20, K, 2), np.inf), np.zeros((20, K, 3)), "infinite"),
        (np.full((20, K, 2), np.nan), np.zeros((20, K, 3)), "at least 10 whole poses, got 0"),
    ],
)
def test_wrong_pairs(xy, xyz, says):
    with pytest.raises(InputError, match=says):
        RidgeLifter().fit(xy, xyz)


def test_a_camera_is_found_from_its_pairs():
    _, xyz = poses(80, 5)
    axis = np.array([0.3, -1.2, 0.4])
    angle = np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis / angle)
    turn = np.eye(3) + np.sin(angle) * cross.T + (1 - np.cos(angle)) * cross.T @ cross.T
    inside = xyz @ turn.T + [0.1, 0.2, 4]
    xy = 700 * inside[..., :2] / inside[..., 2:] + [320, 240]
    pairs = PosePairs(xy, xyz, np.arange(80), np.zeros(80, int), np.zeros((0, 2), int))
    found, error = camera_frame(pairs)[0]
    np.testing.assert_allclose(found, turn, atol=1e-6)
    assert error < 1e-6
    np.testing.assert_allclose(in_camera(pairs, {0: (turn, 0.0)}).xyz, xyz @ turn.T)
    flat = PosePairs(xy, xyz * [1, 1, 0], pairs.groups, pairs.camera, pairs.skeleton)
    with pytest.raises(InputError, match="lie in a plane"):
        camera_frame(flat)
    with pytest.raises(InputError, match="camera 0 is in none"):
        in_camera(pairs, {})


def test_a_mirror_image_is_what_a_parallel_view_cannot_tell():
    xy, xyz = poses(200, 2)
    said = ShapeLifter(n_components=3).fit(xy, xyz).predict(xy[:40])
    truth = (xyz - xyz[:, [0]])[:40]
    assert p_mpjpe(truth, said).mean() < mpjpe(truth, said).mean()


def write_pairs(path, n, seed):
    xy, xyz = poses(n, seed)
    starts = np.arange(0, n, 20)
    names = np.array([f"walk {s}" for s in starts])
    np.savez(path, xy=xy, xyz=xyz, start=starts, length=np.full(len(starts), 20), name=names)


def test_the_command_compares_and_writes(tmp_path, capsys):
    write_pairs(tmp_path / "train.npz", 120, 2)
    write_pairs(tmp_path / "val.npz", 60, 3)
    out = tmp_path / "lifted.npz"
    files = [str(tmp_path / f"{split}.npz") for split in ("train", "val")]
    kept = str(tmp_path / "lifter.hkp")
    chosen = ["--lifters", "ridge,kernel ridge", "--axes", "given"]
    assert main(["lift", *files, *chosen, "--save", kept, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("mean pose", "ridge", "kernel ridge", "stack"))
    with np.load(out) as found:
        assert found["points"].shape == (60, K, 3)
        best = found["points"]
    page = out.with_suffix(".html").read_text()
    assert "MPJPE" in page and "3 sequences" in page and "https://" not in page
    np.savez(tmp_path / "new.npz", xy=poses(60, 3)[0])
    assert main(["lift", kept, str(tmp_path / "new.npz"), "-o", str(out)]) == 0
    with np.load(out) as found:
        np.testing.assert_array_equal(found["points"], best)


def test_what_the_command_refuses(tmp_path, capsys):
    write_pairs(tmp_path / "a.npz", 60, 2)
    np.savez(tmp_path / "bare.npz", **_FIVE)
    files, out = [str(tmp_path / "a.npz")] * 2, str(tmp_path / "o.npz")
    assert main(["lift", *files, "--root", "99", "--axes", "given", "-o", out]) == 2
    assert "root 99 is none of the 8 landmarks" in capsys.readouterr().err
    assert main(["lift", str(tmp_path / "bare.npz"), files[0], "--group-by", "x", "-o", out]) == 2
    assert "--group-by needs sequences" in capsys.readouterr().err
    save_model(ViewFusion(), tmp_path / "other.hkp")
    assert main(["lift", str(tmp_path / "other.hkp"), files[0], "-o", out]) == 2
    assert "is a ViewFusion and no lifter" in capsys.readouterr().err


def test_poses_that_lack_a_point_are_not_judged_and_told(tmp_path, capsys):
    write_pairs(tmp_path / "train.npz", 120, 2)
    xy, xyz = poses(60, 3)
    xy[3, 2], xyz[5] = np.nan, np.nan
    np.savez(tmp_path / "val.npz", xy=xy, xyz=xyz)
    out = tmp_path / "lifted.npz"
    files = [str(tmp_path / f"{split}.npz") for split in ("train", "val")]
    assert main(["lift", *files, "--lifters", "ridge", "--axes", "given", "-o", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:3]]
    assert rows[0][0] == "ridge" and float(rows[0][1]) < float(rows[1][2])
    page = out.with_suffix(".html").read_text()
    assert "58 poses judged" in page and "2 poses lack a point" in page
    with np.load(out) as found:
        assert found["points"].shape == (60, K, 3) and np.isnan(found["points"][3]).all()


_FIVE = {"xy": np.zeros((5, K, 2)), "xyz": np.zeros((5, K, 3))}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"xy": np.zeros((5, K, 2))}, "needs xy"),
        (
            {"xy": np.zeros((5, K, 2)), "xyz": np.zeros((5, K, 3)), "start": [3], "length": [9]},
            "rows 3 to 12",
        ),
        ({"xy": np.zeros((5, K, 2)), "xyz": np.zeros((5, K, 3)), "start": [0], "length": [1, 2]}, "differ"),
        ({"xy": np.zeros((5, K, 2), str), "xyz": np.zeros((5, K, 3))}, "must hold numbers"),
        ({**_FIVE, "start": [0], "length": [5], "camera": ["left"]}, "must hold whole numbers"),
        ({**_FIVE, "start": ["a"], "length": [5]}, "must hold whole numbers"),
        ({**_FIVE, "start": 0, "length": 5}, "differ"),
        ({**_FIVE, "skeleton": [1, 2, 3]}, "must hold pairs"),
        ({**_FIVE, "skeleton": [["a", "b"]]}, "must hold pairs"),
        ({**_FIVE, "skeleton": [[0, K]]}, "landmarks 0 to 7"),
    ],
)
def test_damaged_pairs(tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says):
        load_pairs(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no such file"):
        load_pairs(tmp_path / "none.npz")
