"""Several cameras: cameras and their files, triangulation against exact truth, contradictions, pages."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridkp.cli import main
from hybridkp.datasets import faces_in_space, make_faces
from hybridkp.metrics import mpjpe, p_mpjpe, pck3d, reprojection_error
from hybridkp.multiview import (
    Board,
    Camera,
    Cameras,
    ViewFusion,
    bundle_adjust,
    calibrate,
    check_cameras,
    face_cameras,
    load_points,
    read_cameras,
    reprojected,
    solve_pose,
    triangulate,
    views_of,
    write_cameras,
)
from hybridkp.structures import Dataset, InputError, Instance, Sample

LENS = [-0.28, 0.06, 0.001, -0.0005, 0.0]


def ring(n=4, focal=600.0, distance=600.0, lens=LENS):
    """n cameras on a circle, 640 x 480 px, looking at the origin; the world is in mm."""
    out = []
    for i in range(n):
        angle = 2 * np.pi * i / n * 0.6
        centre = distance * np.array([np.cos(angle), np.sin(angle), 0.35 + 0.1 * i])
        ahead = -centre / np.linalg.norm(centre)
        right = np.cross(ahead, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(ahead, right), ahead])
        matrix = [[focal, 0, 319.5 + i], [0, focal + 5, 239.5], [0, 0, 1]]
        out.append(Camera(f"cam{i}", matrix, lens, turn, -turn @ centre, (480, 640)))
    return Cameras(tuple(out), "mm")


def cloud(n=60, seed=0, size=60.0):
    return np.random.default_rng(seed).uniform(-size, size, (n, 3))


@pytest.fixture(scope="module")
def rig():
    return ring()


# --------------------------------------------------------------------------------------------
# one camera
# --------------------------------------------------------------------------------------------


def test_a_camera_sees_as_opencv_does_and_undistortion_leads_back(rig):
    points = cloud(200, size=120)
    for camera in rig:
        seen = camera.project(points)
        own = cv2.projectPoints(
            points, camera.rotation, camera.translation, camera.matrix, camera.distortions
        )[0][:, 0]
        np.testing.assert_allclose(seen, own, atol=1e-9)
        inside = camera.to_camera(points)
        np.testing.assert_allclose(camera.undistort(seen), inside[:, :2] / inside[:, 2:], atol=1e-7)
        np.testing.assert_allclose(camera.to_camera(camera.centre[None]), np.zeros((1, 3)), atol=1e-9)


def test_what_lies_behind_or_past_the_lens_is_not_seen():
    camera = Camera("a", [[500, 0, 320], [0, 500, 240], [0, 0, 1]], [-0.3, 0, 0, 0, 0])
    assert camera.reach == pytest.approx(np.sqrt(1 / 0.9), abs=0.01), "r - 0.3 r^3 turns back there"
    seen = camera.project([[0, 0, 5], [0, 0, -5], [9, 0, 5], [np.nan, 0, 5]])
    assert np.isfinite(seen[0]).all() and np.isnan(seen[1:]).all()
    edge = camera.project([[camera.reach * 0.999, 0, 1]])[0]
    assert np.isnan(camera.undistort([[edge[0] + 30, 240]])).all(), "no ray leads to that pixel"


def test_a_camera_of_resized_pictures():
    camera = Camera("a", [[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], size_hw=(480, 640))
    half, points = camera.scaled(0.5), cloud() + [0, 0, 500]
    np.testing.assert_allclose(half.project(points), (camera.project(points) + 0.5) / 2 - 0.5, atol=1e-9)
    assert half.size_hw == (240, 320)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"matrix": np.eye(2)}, "matrix has 4 numbers"),
        ({"matrix": [[0, 0, 1], [0, 5, 1], [0, 0, 1]]}, "fx, fy > 0"),
        ({"distortions": [0.1, 0.2]}, "distortions has 2 numbers"),
        ({"rotation": np.eye(3) * 2}, "is no rotation"),
        ({"rotation": np.diag([1, 1, -1])}, "is no rotation"),
        ({"translation": [0, np.nan, 0]}, "not finite"),
        ({"translation": "far"}, "must hold numbers"),
    ],
)
def test_cameras_that_make_no_sense(facts, says):
    with pytest.raises(InputError, match=says):
        Camera("a", **{"matrix": [[5, 0, 1], [0, 5, 1], [0, 0, 1]], **facts})


# --------------------------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------------------------


def same(a, b):
    assert a.names == b.names
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one.project(cloud()), other.project(cloud()), atol=1e-6)


@pytest.mark.parametrize("name", ["cameras.json", "calibration.toml"])
def test_written_cameras_come_back(rig, tmp_path, name):
    write_cameras(rig, tmp_path / name, error=0.5)
    back = read_cameras(tmp_path / name)
    same(rig, back)
    assert back.unit == "mm" and back["cam0"].size_hw == (480, 640)


def test_opencvs_own_files(rig, tmp_path):
    for camera in rig:
        file = cv2.FileStorage(str(tmp_path / f"{camera.name}.yml"), cv2.FILE_STORAGE_WRITE)
        file.write("image_width", 640)
        file.write("image_height", 480)
        file.write("camera_matrix", camera.matrix)
        file.write("distortion_coefficients", camera.distortions)
        file.write("R", camera.turn)
        file.write("T", camera.translation)
        file.release()
    same(rig, read_cameras(tmp_path))
    alone = read_cameras(tmp_path / "cam1.yml")
    assert alone.names == ("cam1",) and alone[0].size_hw == (480, 640)


_ONE = '"matrix": [[5, 0, 1], [0, 5, 1], [0, 0, 1]]'


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "[cam_0\n", "not valid TOML"),
        ("a.toml", "a = " + "[" * 5000, "not valid TOML"),
        (
            "a.toml",
            '[cam_0]\nname = "a"\nfisheye = true\nmatrix = [[5.0,0.0,1.0],[0.0,5.0,1.0],[0.0,0.0,1.0]]',
            "fisheye",
        ),
        ("a.yaml", "a: &x [1, 1]\nb: [*x, *x]\n", "aliases"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a.yaml", "[" * 3000, "not valid YAML"),
        ("a.yaml", "%YAML:1.0\n---\nx: 1\n", "no cameras in it"),
        ("a.json", "[1, 2]", "holds list"),
        ("a.json", '{"cameras": {"a": 3}}', "has no matrix"),
        ("a.json", f'{{"cameras": {{"a": {{{_ONE}}}, "b": {{{_ONE}}}}}}}', "has no rotation"),
        ("a.json", f'{{"cameras": {{"a": {{{_ONE}, "size": [-1, 5]}}}}}}', "width, height"),
        ("a.json", f'{{"cameras": {{"a": {{{_ONE}, "distortions": [1e999]}}}}}}', "not finite"),
        ("a.json", '{"cameras": {"a": {"matrix": [[1, 2], [3]]}}}', "must hold numbers"),
        ("a.json", '{"cameras": {}}', "no cameras in it"),
        ("a.json", '{"cameras": [{"name": "a"}, {"name": "a"}]}', "two cameras have one name"),
        ("a.json", f'{{"cameras": {{"a": {{{_ONE}, "size": ["a", "b"]}}}}}}', "width, height"),
        ("a.txt", "hello", "no file of cameras"),
    ],
)
def test_hostile_files_of_cameras_end_in_a_line(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says):
        read_cameras(tmp_path / name)


def test_files_that_are_not_there_or_too_large(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_cameras(tmp_path / "none.toml")
    with open(tmp_path / "big.json", "wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(InputError, match="over 4 MB"):
        read_cameras(tmp_path / "big.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.json"):
        read_cameras(tmp_path / "empty")


# --------------------------------------------------------------------------------------------
# triangulation
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dlt", "ransac"])
def test_exact_points_come_back_exactly(rig, method):
    points = cloud()
    found = triangulate(rig.project(points), rig, method=method)
    np.testing.assert_allclose(found.xyz, points, atol=1e-5)
    assert found.used.all() and found.left_out_px < 1e-5
    moved = triangulate(rig.project(points) + [0.5, 0.5], rig, method=method)
    assert np.linalg.norm(moved.xyz - points, axis=1).min() > 0.1, "half a pixel is half a millimetre here"


def test_two_views_of_drawn_faces_give_their_points_and_correct_each_other():
    size, angles = (128, 128), (0, 25)
    views = views_of(make_faces(8, size, 3, cameras=angles), face_cameras(angles, size))
    truth = faces_in_space(8, size, 3).reshape(-1, 3)
    np.testing.assert_allclose(triangulate(views.flat, views.cameras).xyz, truth, atol=0.02)
    shifted = views.flat + np.array([[[0.5, 0]], [[0, 0]]])
    assert np.abs(triangulate(shifted, views.cameras).xyz - truth).max() > 0.5, "half a pixel is seen"
    noisy = views.flat + np.random.default_rng(0).normal(0, 2, views.flat.shape)
    again, _ = reprojected(triangulate(noisy, views.cameras, method="dlt"), views.cameras)
    before, after = ((xy - views.flat).std() for xy in (noisy, again))
    assert abs(after / before - np.sqrt(3 / 4)) < 0.03, "of four numbers the epipolar line corrects one"


def test_far_cameras_that_hardly_differ_from_parallel_ones():
    rig, points = ring(3, focal=1e6, distance=1e6, lens=None), cloud()
    np.testing.assert_allclose(triangulate(rig.project(points), rig).xyz, points, atol=1e-3)


def test_an_outlier_is_left_out_and_told(rig):
    points = cloud()
    xy = rig.project(points)
    rng = np.random.default_rng(1)
    wrong = rng.integers(0, 4, 60)
    xy[wrong, np.arange(60)] += rng.choice([-1, 1], (60, 2)) * rng.uniform(40, 90, (60, 2))
    found = triangulate(xy, rig, threshold_px=3)
    np.testing.assert_allclose(found.xyz, points, atol=1e-5)
    assert (found.used.sum(0) == 3).all() and not found.used[wrong, np.arange(60)].any()
    assert (found.left_out[wrong, np.arange(60)] > 30).all()
    plain = triangulate(xy, rig, method="dlt")
    assert np.median(np.linalg.norm(plain.xyz - points, axis=1)) > 5


def test_views_that_see_few_points(rig):
    points, xy = cloud(), rig.project(cloud())
    xy[2:, :40] = np.nan  # two views
    xy[1:, :10] = np.nan  # one view
    found = triangulate(xy, rig)
    assert np.isnan(found.xyz[:10]).all()
    np.testing.assert_allclose(found.xyz[10:], points[10:], atol=1e-5)
    assert np.isnan(found.left_out[:, 10:40]).all(), "two views cannot judge each other"
    assert np.isfinite(found.left_out[:, 40:]).all()
    nothing = triangulate(np.full_like(xy, np.nan), rig)
    assert np.isnan(nothing.xyz).all() and np.isnan(nothing.left_out_px) and nothing.behind == 0
    empty = triangulate(np.zeros((4, 0, 2)), rig)
    assert empty.xyz.shape == (0, 3)


def test_two_views_that_disagree_make_no_point(rig):
    xy = rig.project(cloud(20))
    xy[2:] = np.nan
    xy[0] += 60
    apart = triangulate(xy, rig, threshold_px=5)
    assert np.isnan(apart.xyz).mean() > 0.8


def test_points_behind_a_camera_are_dropped_and_counted():
    matrix = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    pair = Cameras((Camera("a", matrix), Camera("b", matrix, translation=[-1, 0, 0])))
    xy = pair.project([[0.5, 0.1, 10.0], [0.2, 0.1, 10.0]])
    xy[1, 0, 0] = 2 * xy[0, 0, 0] - xy[1, 0, 0] + 5  # the rays meet behind
    found = triangulate(xy, pair, method="dlt")
    assert found.behind == 1 and np.isnan(found.xyz[0]).all() and np.isfinite(found.xyz[1]).all()


def test_covariance_weighs_and_is_right(rig):
    """Views of unlike noise: the weighted points are nearer, and their stated scatter is the real one."""
    points = np.repeat(cloud(8), 150, axis=0)
    noise = np.array([0.3, 0.3, 3.0, 3.0])[:, None, None]
    xy = rig.project(points) + noise * np.random.default_rng(0).standard_normal((4, len(points), 2))
    cov = np.broadcast_to(noise[..., None] ** 2 * np.eye(2), (*xy.shape, 2))
    plain = triangulate(xy, rig, method="dlt", left_out=False)
    good = triangulate(xy, rig, covariance=cov, method="dlt", left_out=False)
    error = [np.linalg.norm(f.xyz - points, axis=1).mean() for f in (good, plain)]
    assert error[0] < 0.6 * error[1]
    real = np.sqrt((np.linalg.norm(good.xyz - points, axis=1) ** 2).mean())
    assert np.sqrt((good.uncertainty**2).mean()) == pytest.approx(real, rel=0.1)
    scored = triangulate(
        xy, rig, score=np.repeat([[0.95], [0.95], [0.1], [0.1]], len(points), 1), method="dlt"
    )
    assert np.linalg.norm(scored.xyz - points, axis=1).mean() < error[1]
    again, spread = reprojected(good, rig)
    np.testing.assert_allclose(again, rig.project(good.xyz))
    apart = (again - rig.project(points))[1]
    assert np.sqrt(np.trace(spread[1], axis1=1, axis2=2).mean()) == pytest.approx(
        np.sqrt((apart**2).sum(1).mean()), rel=0.15
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"xy": np.zeros((3, 5, 2))}, "one row a camera"),
        ({"xy": np.full((4, 5, 2), np.inf)}, "infinite"),
        ({"method": "best"}, "use one of"),
        ({"threshold_px": -1.0}, "above 0"),
        ({"threshold_px": 0.0}, "above 0"),
        ({"threshold_px": np.nan}, "above 0"),
        ({"score": np.zeros((4, 4))}, "score must have shape"),
        ({"covariance": np.zeros((4, 5, 2))}, "covariance must have shape"),
        ({"cameras": Cameras((ring()[0],))}, "at least two cameras"),
    ],
)
def test_wrong_arguments(rig, change, says):
    arguments = {"xy": np.zeros((4, 5, 2)), "cameras": rig, **change}
    with pytest.raises(InputError, match=says):
        triangulate(arguments.pop("xy"), arguments.pop("cameras"), **arguments)


# --------------------------------------------------------------------------------------------
# cameras against pictures
# --------------------------------------------------------------------------------------------


def exchanged(rig, i, j):
    rows = list(rig)
    rows[i], rows[j] = replace(rig[j], name=rig[i].name), replace(rig[i], name=rig[j].name)
    return Cameras(tuple(rows), rig.unit)


def test_good_cameras_pass(rig):
    xy = rig.project(cloud()) + np.random.default_rng(0).normal(0, 2, (4, 60, 2))
    check = check_cameras(xy, rig)
    assert not check.contradicts and not check.remedy and 1 < check.error_px < 4


def test_a_camera_that_shares_no_point_is_no_contradiction(rig):
    xy = rig.project(cloud())
    xy[2] = np.nan
    check = check_cameras(xy, rig)
    assert not check.contradicts and check.names == ("cam0", "cam1", "cam3") and check.error_px < 1e-3
    two = check_cameras(xy[:2], rig.subset(["cam0", "cam1"]))
    assert not two.contradicts and "inf" not in two.words() and "against" not in two.words()


@pytest.mark.parametrize("pair", [(0, 1), (1, 3)])
def test_two_cameras_exchanged_are_noticed_and_named(rig, pair):
    xy = rig.project(cloud()) + np.random.default_rng(0).normal(0, 1, (4, 60, 2))
    xy[3, ::2] = np.nan
    check = check_cameras(xy, exchanged(rig, *pair))
    assert check.contradicts and check.error_px > 20
    assert check.remedy == f"exchange the cameras 'cam{pair[0]}' and 'cam{pair[1]}'"
    assert check.mended_px < 3 and "contradict" in check.words()


def test_other_contradictions_are_told_apart(rig):
    xy = rig.project(cloud())
    turned = Cameras(tuple(replace(c, rotation=-c.rotation, translation=c.centre) for c in rig))
    assert "camera to world" in check_cameras(xy, turned).remedy
    mirrored = xy.copy()
    mirrored[1, :, 0] = 639 - mirrored[1, :, 0]
    assert "mirror the pictures of 'cam1'" in check_cameras(mirrored, rig).remedy
    assert check_cameras(xy[..., ::-1], rig).remedy == "exchange x and y of the points"
    moved = Cameras((*list(rig)[:3], replace(rig[3], translation=rig[3].translation + [60, 90, 0])))
    lost = check_cameras(xy, moved)
    assert lost.contradicts and not lost.remedy and "calibrate again" in lost.words()
    with pytest.raises(InputError, match="no point is seen by two"):
        check_cameras(np.full((4, 5, 2), np.nan), rig)


# --------------------------------------------------------------------------------------------
# metrics
# --------------------------------------------------------------------------------------------


def test_errors_in_space():
    truth = cloud(10).reshape(2, 5, 3)
    turn = cv2.Rodrigues(np.array([0.2, -0.5, 0.9]))[0]
    moved = 1.7 * truth @ turn.T + [5, 6, 7]
    assert p_mpjpe(truth, moved).max() < 1e-9 < mpjpe(truth, moved).min()
    assert p_mpjpe(truth, truth * [1, 1, -1]).min() > 1, "a mirror image is another shape"
    shifted = truth + [3, 4, 0]
    np.testing.assert_allclose(mpjpe(truth, shifted), [5, 5])
    np.testing.assert_allclose(mpjpe(truth, shifted, root=2), [0, 0], atol=1e-9)
    silent = shifted.copy()
    silent[0, 1] = np.nan
    assert np.isinf(mpjpe(truth, silent)[0]), "a point that was not predicted never pays"
    np.testing.assert_allclose(pck3d(truth, silent, 5.5), [0.8, 1.0])
    unknown = truth.copy()
    unknown[0] = np.nan
    assert np.isnan(mpjpe(unknown, shifted)[0]) and np.isnan(pck3d(unknown, shifted, 1)[0])
    xy = np.zeros((1, 2, 3, 2))
    np.testing.assert_allclose(reprojection_error(xy, xy + [0, 2]), [2.0])
    with pytest.raises(InputError, match="must both be"):
        mpjpe(truth, truth[:1])


# --------------------------------------------------------------------------------------------
# data sets and the command
# --------------------------------------------------------------------------------------------


def write_set(folder, rig, n=6, k=5, change=None):
    """A COCO set of n instants in the rig's views, cameras and true points beside it."""
    points = np.cumsum(np.random.default_rng(0).normal(0, 6, (n, k, 3)), 0) + cloud(k)
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for t in range(n):
        for camera in rig:
            xy = camera.project(points[t])
            name = f"{camera.name}_{t:02}.png"
            cv2.imwrite(str(folder / "images" / name), np.full((480, 640), 90, np.uint8))
            facts = {"id": len(images) + 1, "file_name": name, "width": 640, "height": 480}
            images.append({**facts, "group": f"g{t // 2}", "view": camera.name, "instant": f"{t:02}"})
            triples = np.column_stack([xy, np.full(k, 2)]).ravel().tolist()
            box = [float(xy[:, 0].min()), float(xy[:, 1].min()), *np.ptp(xy, 0).tolist()]
            row = {"id": len(images), "image_id": len(images), "category_id": 1, "num_keypoints": k}
            annotations.append({**row, "keypoints": triples, "bbox": box, "area": box[2] * box[3]})
    category = {
        "id": 1,
        "name": "thing",
        "keypoints": [f"p{i}" for i in range(k)],
        "skeleton": [[1, 2], [2, 3]],
    }
    document = {"images": images, "annotations": annotations, "categories": [category]}
    if change:
        change(document)
    (folder / "train.json").write_text(json.dumps(document))
    write_cameras(rig, folder / "cameras.json")
    np.savez(folder / "truth.npz", points=points, names=np.array(category["keypoints"]))
    return points


def test_the_command_writes_points_and_a_page(rig, tmp_path, capsys):
    truth = write_set(tmp_path / "set", rig)
    out = tmp_path / "points.npz"
    told = ["--cameras", str(tmp_path / "set/cameras.json"), "--truth", str(tmp_path / "set/truth.npz")]
    assert main(["triangulate", str(tmp_path / "set"), *told, "-o", str(out)]) == 0
    printed = dict(
        line.split() for line in capsys.readouterr().out.splitlines() if line.count(" ") and ":" not in line
    )
    assert float(printed["found_percent"]) == 100 and float(printed["mpjpe_mm"]) < 0.01
    found = load_points(out)
    np.testing.assert_allclose(found.xyz, truth, atol=1e-3)
    assert found.unit == "mm" and found.instants[:2] == ("00", "01")
    page = out.with_suffix(".html").read_text()
    assert "points of 4 cameras" in page and "cam3" in page and 'type="range"' in page
    assert "http://" not in page and "https://" not in page and "nan" not in page.lower().split("<script")[0]


def test_the_command_refuses_exchanged_cameras(rig, tmp_path, capsys):
    write_set(tmp_path / "set", rig)
    write_cameras(exchanged(rig, 1, 2), tmp_path / "wrong.toml")
    command = ["triangulate", str(tmp_path / "set"), "--cameras", str(tmp_path / "wrong.toml")]
    assert main([*command, "-o", str(tmp_path / "o.npz")]) == 2
    assert "exchange the cameras 'cam1' and 'cam2'" in capsys.readouterr().err
    assert not (tmp_path / "o.npz").exists()
    assert main([*command, "--views", "cam0,cam9", "-o", str(tmp_path / "o.npz")]) == 2
    assert "no camera 'cam9': there are cam0, cam1, cam2, cam3" in capsys.readouterr().err
    assert main([*command, "--force", "-o", str(tmp_path / "o.npz")]) == 0
    assert "contradict" in (tmp_path / "o.html").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["images"][3].pop("view"), "names no view"),
        (lambda d: d["images"][3].pop("instant"), "names no instant"),
        (lambda d: d["images"][3].update(view="cam9"), "is of view 'cam9'; the cameras are"),
        (lambda d: d["images"][3].update(view="cam0"), "two pictures of view 'cam0' at instant '00'"),
        (lambda d: d["annotations"][0].update(image_id=2), "has 2 objects"),
        (lambda d: [i.update(width=500) for i in d["images"]], "is of 640 x 480 px"),
    ],
)
def test_data_whose_views_are_not_clear(rig, tmp_path, change, says):
    from hybridkp.datasets import load_dataset

    write_set(tmp_path / "set", rig, n=2, change=change)
    with pytest.raises(InputError, match=says):
        views_of(load_dataset(tmp_path / "set"), rig)


def test_smaller_pictures_scale_their_cameras(rig):
    small = Cameras(tuple(c.scaled(0.5) for c in rig))
    points = cloud(5)
    samples = tuple(
        Sample(c.name, list, (Instance(c.project(points)),), "g", (240, 320), view=c.name, instant="0")
        for c in small
    )
    data = Dataset("small", tuple("abcde"), samples)
    views = views_of(data, rig)
    np.testing.assert_allclose(triangulate(views.flat, views.cameras).xyz, points, atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"no zip at all"])
def test_damaged_points(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"no \.npz of plain arrays"):
        load_points(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", points=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"no \.npz of plain arrays"):
        load_points(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", other=np.zeros(3))
    with pytest.raises(InputError, match="holds no points"):
        load_points(tmp_path / "c.npz")


# --------------------------------------------------------------------------------------------
# calibration and bundle adjustment
# --------------------------------------------------------------------------------------------


def board_rig():
    """Three cameras on one side of a board, 640 x 480 px."""
    out = []
    for i, (angle, up) in enumerate([(-0.35, 0.1), (0.05, -0.25), (0.4, 0.15)]):
        turn = cv2.Rodrigues(np.array([up, angle, 0.05 * i]))[0]
        matrix = [[620 + 15 * i, 0, 319.5], [0, 620 + 15 * i, 239.5], [0, 0, 1]]
        centre = -700 * turn.T @ [0, 0, 1.0]
        out.append(Camera(f"c{i}", matrix, [-0.12, 0, 0, 0, 0], turn, -turn @ centre, (480, 640)))
    return Cameras(tuple(out), "mm")


def photograph(board, camera, pose, picture):
    """The board's picture (squares of 60 px) as a camera with a lens sees it in a pose."""
    y, x = np.mgrid[0:480, 0:640]
    seen = (np.column_stack([x.ravel(), y.ravel()]) - camera.matrix[:2, 2]) / camera.matrix[0, 0]
    r = np.linspace(0, 1, 4000)
    size = np.linalg.norm(seen, axis=1, keepdims=True)
    rays = seen * np.interp(size, r + camera.distortions[0] * r**3, r) / np.maximum(size, 1e-9)
    rays = np.column_stack([rays, np.ones(len(rays))]) @ camera.turn
    turn, shift = cv2.Rodrigues(pose[:3])[0], pose[3:]
    away = ((shift - camera.centre) @ turn[:, 2]) / (rays @ turn[:, 2])
    on_board = (camera.centre + away[:, None] * rays - shift) @ turn / board.square * 60
    maps = (on_board[:, :2] - 0.5).astype(np.float32).reshape(480, 640, 2)
    return cv2.remap(picture, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderValue=128)


def board_poses():
    tilts = [(0.6, 0, 0), (-0.6, 0.1, 0.2), (0.1, 0.6, 0), (0, -0.6, -0.2), (0.4, 0.4, 0.1)]
    shifts = [(-84, -72, 0), (-60, -90, 30), (-110, -60, -20), (-70, -50, 10), (-90, -95, 40)]
    return np.column_stack([tilts, shifts])


@pytest.fixture(scope="module")
def board_folder(tmp_path_factory):
    board = Board.parse("charuco:7x6:24mm:18:4x4_50")
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    drawn = cv2.aruco.CharucoBoard((7, 6), 24.0, 18.0, dictionary).generateImage((420, 360))
    folder = tmp_path_factory.mktemp("boards")
    for camera in board_rig():
        (folder / camera.name).mkdir()
        for i, pose in enumerate(board_poses()):
            blank = camera.name == "c1" and i == 4
            picture = np.full((480, 640), 90, np.uint8) if blank else photograph(board, camera, pose, drawn)
            cv2.imwrite(str(folder / camera.name / f"{i}.png"), picture)
    return folder


def relative(cameras):
    """Poses of the others before the first camera."""
    first = cameras[0]
    return [
        (c.turn @ first.turn.T, c.translation - c.turn @ first.turn.T @ first.translation) for c in cameras
    ]


def test_cameras_come_back_from_their_boards(board_folder, tmp_path, capsys):
    out = tmp_path / "cameras.json"
    assert (
        main(["calibrate", str(board_folder), "--board", "charuco:7x6:24mm:18:4x4_50", "-o", str(out)]) == 0
    )
    told = capsys.readouterr()
    assert "no board: " in told.err and "4.png" in told.err
    found, true = read_cameras(out), board_rig()
    assert found.names == true.names and found.unit == "mm"
    for one, camera in zip(found, true, strict=True):
        assert abs(one.matrix[0, 0] / camera.matrix[0, 0] - 1) < 0.03
    for (turn, shift), (right, there) in zip(relative(found), relative(true), strict=True):
        assert np.degrees(np.arccos(np.clip((np.trace(turn.T @ right) - 1) / 2, -1, 1))) < 0.2
        assert np.linalg.norm(shift - there) < 0.03 * 700, "as the focal lengths, with which depth trades"
    again = triangulate(true.project(cloud()), found)
    assert again.left_out_px < 0.25 and p_mpjpe(cloud()[None], again.xyz[None])[0] < 0.25
    page = out.with_suffix(".html").read_text()
    assert "No board in c1/4.png" in page and page.count("data:image/jpeg") >= 3


def test_calibration_says_what_is_missing(board_folder, tmp_path):
    alone = {"c0": [("0", board_folder / "c0" / "0.png")]}
    with pytest.raises(InputError, match=r"camera 'c0': the board was found in 0 of 1 pictures"):
        calibrate(alone, Board.parse("charuco:5x9:24mm:18:5x5_50"))
    with pytest.raises(InputError, match="half a turn"):
        calibrate(board_folder, Board.parse("checkerboard:8x6:24"))
    with pytest.raises(InputError, match="no such folder"):
        calibrate(tmp_path / "none", Board.parse("checkerboard:7x6:24"))
    table = {
        name: [(f"{name}{i}", board_folder / name / f"{i}.png") for i in range(4)] for name in ("c0", "c2")
    }
    with pytest.raises(InputError, match="nothing ties them"):
        calibrate(table, Board.parse("charuco:7x6:24mm:18:4x4_50"))


def test_pictures_that_cannot_be_read_are_left_out(board_folder, tmp_path, capsys):
    folder, out = tmp_path / "boards", tmp_path / "cameras.json"
    shutil.copytree(board_folder, folder)
    broken = folder / "c0" / "3.png"
    broken.write_bytes(broken.read_bytes()[:900])
    asked = ["calibrate", str(folder), "--board", "charuco:7x6:24mm:18:4x4_50", "-o", str(out)]
    assert main(asked) == 1, "as predict and features end"
    assert f"left out: {broken}: " in capsys.readouterr().err and read_cameras(out).names == board_rig().names
    page = out.with_suffix(".html").read_text()
    assert "14 pictures, the board in 13, 1 more cannot be read" in page
    assert "cannot be read: c0/3.png" in page
    out.unlink()
    for i in range(3):
        (folder / "c0" / f"{i}.png").write_bytes(b"")
    assert main(asked) == 2 and not out.exists()
    assert "found in 1 of 1 pictures, 3 are needed" in (told := capsys.readouterr().err)
    assert "4 more cannot be read (first: " in told and "0.png" in told
    (folder / "c0" / "4.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"in 0 of 0 pictures.* 5 more cannot be read"):
        calibrate(folder, Board.parse("charuco:7x6:24mm:18:4x4_50"))


def test_a_checkerboard_keeps_its_direction():
    board = Board.parse("checkerboard:7x6:24mm")
    picture = (np.add.outer(np.arange(6), np.arange(7)) % 2 * 200 + 30).astype(np.uint8)
    picture = cv2.copyMakeBorder(
        np.kron(picture, np.ones((50, 50), np.uint8)), 60, 60, 60, 60, 0, value=[230]
    )
    numbers, xy = board.find(picture)
    turned = board.find(picture[::-1, ::-1])[1]
    assert len(numbers) == 30
    np.testing.assert_allclose(np.array(picture.shape[::-1]) - 1 - turned, xy, atol=0.1)
    np.testing.assert_allclose(xy[1] - xy[0], np.sign(xy[1] - xy[0]) * [50, 0], atol=0.1)
    assert len(board.find(np.full((200, 200), 90, np.uint8))[0]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("charuco:8x11:24mm", "no board"),
        ("charuco:8x11:24mm:25", "smaller than its square"),
        ("charuco:8x11:24mm:18:9x9_50", "no dictionary"),
        ("checkerboard:2x7:25", "3 to 100 squares"),
        ("checkerboard:7x6:0", "above 0"),
        ("checkerboard:7x6:1.2.3", "no number"),
        (f"checkerboard:{'7' * 5000}x6:1", "no number"),
        ("chess", "no board"),
    ],
)
def test_boards_that_are_none(text, says):
    with pytest.raises(InputError, match=says):
        Board.parse(text)


def test_bundle_adjustment_mends_cameras_that_were_moved(rig):
    points, rng = cloud(80), np.random.default_rng(0)
    xy = rig.project(points)
    bumped = Cameras(
        tuple(
            replace(
                c,
                rotation=c.rotation + rng.normal(0, 0.01, 3),
                translation=c.translation + rng.normal(0, 3, 3),
            )
            for c in rig
        ),
        "mm",
    )
    before = triangulate(xy, bumped)
    found = bundle_adjust(xy, bumped)
    after = triangulate(xy, found.cameras)
    assert before.left_out_px > 2 and after.left_out_px < 0.01 and found.after_px < 0.01
    assert p_mpjpe(points[None], after.xyz[None])[0] < 0.05
    moved = np.linalg.norm(after.xyz - before.xyz, axis=1)
    assert np.median(moved) < np.median(np.linalg.norm(before.xyz - points, axis=1)) * 2, "the world stays"
    with pytest.raises(InputError, match="at least 8 points"):
        bundle_adjust(xy[:, :5], rig)
    with pytest.raises(InputError, match="pose or focal"):
        bundle_adjust(xy, rig, lens="all")


# --------------------------------------------------------------------------------------------
# other views' help, and pose
# --------------------------------------------------------------------------------------------


def guesses(rig, t=40, k=6, seed=0, false=0.1):
    """Labels (T, V, K, 2), predictions whose error goes with a score, some of them false."""
    rng = np.random.default_rng(seed)
    truth = np.moveaxis(rig.project(cloud(t * k, seed)).reshape(len(rig), t, k, 2), 0, 1)
    score = rng.uniform(0, 1, truth.shape[:3])
    said = truth + np.exp(1.5 - 2 * score)[..., None] * rng.standard_normal(truth.shape)
    wrong = rng.random(score.shape) < false
    said[wrong] += rng.choice([-1, 1], (int(wrong.sum()), 2)) * rng.uniform(25, 60, (int(wrong.sum()), 2))
    return truth, said, score


def off(xy, truth):
    return np.linalg.norm(xy - truth, axis=3)


def test_the_other_views_help_and_learn_how_much(rig):
    truth, said, score = guesses(rig)
    fusion = ViewFusion().fit(said, score, truth, rig)
    assert fusion.slope_ < -1 and 0.04 < fusion.false_ < 0.3 and (fusion.doubt_ < 10).all()
    new, guess, sure = guesses(rig, seed=1)
    fused, share = fusion.predict(guess, sure, rig)
    assert off(fused, new).mean() < 0.55 * off(guess, new).mean()
    assert share.min() >= 0 and share.max() <= 1.0001
    surest = sure > 0.9
    assert share[surest].mean() < share[sure < 0.2].mean(), "a sure point listens less"
    again = fusion.predict(guess[:3], sure[:3], rig)[0]
    np.testing.assert_allclose(again, fused[:3], atol=1e-4)


def test_of_two_views_each_corrects_the_other_across_its_epipolar_line(rig):
    pair = rig.subset(rig.names[:2])
    truth, said, score = guesses(pair, t=80, false=0.0)
    fusion = ViewFusion().fit(said, score, truth, pair)
    new, guess, sure = guesses(pair, t=80, seed=1, false=0.0)
    fused = fusion.predict(guess, sure, pair)[0]
    before, after = (((xy - new) ** 2).mean() for xy in (guess, fused))
    assert 0.6 < after / before < 0.8, "of four numbers one is known twice; here the surer of two"
    again = fusion.predict(guess + [0.5, 0], sure, pair)[0]
    assert np.abs(again - fused).max() > 0.3, "half a pixel is seen"


def test_views_that_cannot_help_change_nothing(rig):
    truth, said, score = guesses(rig, false=0.0)
    said = truth + 0.2 * np.random.default_rng(5).standard_normal(truth.shape)
    loose = Cameras(
        tuple(replace(c, translation=c.translation + [6, -9, 4]) for c in list(rig)[:2]) + tuple(rig)[2:]
    )
    fusion = ViewFusion().fit(said, score, truth, loose)
    fused = fusion.predict(said, score, loose)[0]
    assert off(fused, truth).mean() <= 1.02 * off(said, truth).mean()
    assert (fusion.camera_variance_ > 1).any(), "the cameras' own error is counted"


def test_landmarks_that_a_view_never_shows_are_no_witness(rig):
    truth, said, score = guesses(rig, false=0.0)
    truth[:, 0, :3] = np.nan
    said[:, 0, :3] = 5.0  # a detector always says something
    fusion = ViewFusion().fit(said, score, truth, rig)
    assert not fusion.seen_[0, :3].any() and fusion.seen_[1:].all()
    fused = fusion.predict(said, score, rig)[0]
    assert np.nanmean(off(fused, truth)) < np.nanmean(off(said, truth))
    np.testing.assert_array_equal(fused[:, 0, :3], said[:, 0, :3])


def test_candidates_are_chosen_by_the_other_views(rig):
    truth, said, score = guesses(rig, false=0.0)
    fusion = ViewFusion().fit(said, score, truth, rig)
    wrong = said.copy()
    wrong[:, 1] += 45
    places = np.stack([wrong, said], 3)
    log_p = np.log(np.broadcast_to([0.6, 0.4], places.shape[:4]))
    fused = fusion.predict(wrong, score, rig, candidates=places, log_probability=log_p)[0]
    plain = fusion.predict(wrong, score, rig)[0]
    assert off(fused, truth)[:, 1].mean() < off(plain, truth)[:, 1].mean()
    with pytest.raises(InputError, match="do not fit"):
        fusion.predict(wrong, score, rig, candidates=places, log_probability=log_p[..., :1])


def test_a_fusion_needs_labels(rig):
    truth, said, score = guesses(rig, t=2)
    with pytest.raises(InputError, match="at least 10 labelled"):
        ViewFusion().fit(said, score, np.full_like(truth, np.nan), rig)
    with pytest.raises(InputError, match="score must have shape"):
        ViewFusion().fit(said, score[:1], truth, rig)
    truth, said, score = guesses(rig)
    fusion, two = ViewFusion().fit(said, score, truth, rig), rig.subset(rig.names[:2])
    with pytest.raises(InputError, match=r"was fitted to 4 cameras and .* asked about 2"):
        fusion.predict(said[:, :2], score[:, :2], two)


def test_the_pose_of_a_known_object():
    camera = Camera("a", [[600, 0, 320], [0, 600, 240], [0, 0, 1]], LENS)
    model, rng = cloud(12, 4), np.random.default_rng(2)
    turns = [cv2.Rodrigues(rng.normal(0, 0.5, 3))[0] for _ in range(20)]
    shifts = rng.uniform([-80, -60, 500], [80, 60, 700], (20, 3))
    xy = np.stack([camera.project(model @ r.T + t) for r, t in zip(turns, shifts, strict=True)])
    found = solve_pose(xy, model, camera)
    np.testing.assert_allclose(found.rotation, turns, atol=1e-5)
    np.testing.assert_allclose(found.translation, shifts, atol=1e-2)
    assert not found.ambiguous.any() and found.error_px.max() < 1e-3
    noisy = solve_pose(np.repeat(xy[:1], 60, 0) + rng.normal(0, 1, (60, 12, 2)), model, camera)
    gap = np.swapaxes(noisy.rotation, 1, 2) @ turns[0]
    apart = np.degrees(np.arccos(np.clip((np.trace(gap, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert np.sqrt((apart**2).mean()) == pytest.approx(np.sqrt((noisy.rotation_error**2).mean()), rel=0.25)
    few = xy[:2].copy()
    few[0, 3:] = np.nan
    part = solve_pose(few, model, camera)
    assert np.isnan(part.rotation[0]).all() and np.isfinite(part.rotation[1]).all()


def test_a_small_flat_object_far_away_is_ambiguous():
    camera = Camera("a", [[600, 0, 320], [0, 600, 240], [0, 0, 1]])
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0.5, 0, 0]]) * 20.0
    turn = cv2.Rodrigues(np.array([0.5, 0.3, 0]))[0]
    xy = camera.project(square @ turn.T + [0, 0, 3000]) + np.random.default_rng(0).normal(0, 0.1, (5, 2))
    found = solve_pose(xy[None], square, camera)
    assert found.ambiguous[0] and np.isfinite(found.second).all()
    near = solve_pose(camera.project(square @ turn.T + [0, 0, 90])[None], square, camera)
    assert not near.ambiguous[0]
    np.testing.assert_allclose(near.rotation[0], turn, atol=1e-4)
    with pytest.raises(InputError, match="on a line"):
        solve_pose(xy[None], square * [1, 0, 0], camera)
    with pytest.raises(InputError, match="model must have shape"):
        solve_pose(xy[None], square[:3], camera)
