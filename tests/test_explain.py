"""Why a point is where it is: what detectors say of themselves, the deletion test, and the page."""

from __future__ import annotations

import json
import re
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp import InputError, explain, make_method
from hybridkp.checks import make_problem
from hybridkp.cli import main
from hybridkp.datasets import make_pairs
from hybridkp.descriptors import HOG, SIFT
from hybridkp.explain.evidence import inside, spread
from hybridkp.explain.hiding import GRID, on_grid
from hybridkp.explain.writer import render
from hybridkp.files import save_model
from hybridkp.fusion import Average, PictorialStructure, WeightedVote
from hybridkp.fusion.nodes.pictorial import Tree, marginals, messages_to
from hybridkp.imaging import draw_cells, draw_signed, gaussian_pyramid
from hybridkp.landmarks import HolisticRegressor, MeanShape, PatchDetector
from hybridkp.landmarks.experts import Experts
from hybridkp.recipes import make_matcher
from hybridkp.structures import Contributing, Contributions, Keypoints, Placed, supports

PROBLEM = make_problem(40)
HELD = make_problem(6, random_state=1)


def _fit(model: Any) -> Any:
    return model.fit(PROBLEM.images, PROBLEM.xy, groups=PROBLEM.groups, flip=PROBLEM.flip)


@pytest.fixture(scope="module")
def experts() -> PatchDetector:
    return _fit(PatchDetector(HOG(cells=4, cell_px=3), scales=(0.5, 1.0)))


@pytest.fixture(scope="module")
def ridge() -> HolisticRegressor:
    return _fit(HolisticRegressor())


# --------------------------------------------------------------------------------------------
# what detectors say of themselves (the checks of every method hold the promises themselves)
# --------------------------------------------------------------------------------------------


def test_stages_lead_from_the_start_to_the_prediction(experts) -> None:
    stages = experts.stages(HELD.images)
    assert [s.name for s in stages] == ["start", "search at scale 0.5", "search at scale 1"]
    np.testing.assert_array_equal(stages[0].xy, experts.start_.predict(HELD.images))
    np.testing.assert_array_equal(stages[-1].xy, experts.predict(HELD.images))
    errors = [np.linalg.norm(s.xy - HELD.xy, axis=-1).mean() for s in stages]
    assert errors[2] < errors[0], "the search is worth its time"


def test_a_linear_experts_parts_are_its_score(experts) -> None:
    """The parts and the rest add up to the raw score that the dense maps have at the point."""
    image, k = HELD.images[0], 2
    found = experts.contributions(image, k)
    windows: list[Any] = []
    original = experts._windows

    def spy(level: int, state: Any, frames: Any, points: Any, fold: Any) -> Any:
        windows.append((frames, points, original(level, state, frames, points, fold)))
        return windows[-1][2]

    experts._windows = spy
    try:
        experts.predict(image[None])
    finally:
        del experts._windows
    scores = windows[-1][2][0, k]
    assert np.abs(scores - found.total).min() < 1e-4, "one of the places of the window"
    assert len(found.value) == 16 and found.rest == pytest.approx(
        Experts(experts.levels_[-1]).mean_bias[k], abs=1e-6
    )
    np.testing.assert_allclose(found.xy.mean(0), experts.predict(image[None])[0, k], atol=1.0)


def test_a_forests_paths_add_up_to_its_share() -> None:
    model = _fit(make_method("hog+forest", quick=True).set_params(scales=(1.0,), n_hard=0, max_pictures=30))
    state = model.levels_[-1]
    row = np.random.default_rng(0).normal(size=model.descriptor_.n_features).astype(np.float32)
    what, rest, parts = Experts(state).contributions(row, 1)
    trees, unit = state["trees"], np.float32(state["unit"])
    shares = []
    for node in trees["root"][:, 1].ravel():
        while trees["left"][node] != node:
            below = row[trees["feature"][node]] * unit <= trees["threshold"][node]
            node = trees["left" if below else "right"][node]
        shares.append(trees["share"][node])
    assert rest + parts.sum() == pytest.approx(np.mean(shares), abs=1e-6) and "forest" in what
    assert model.contributions(HELD.images[0], 0).value.shape == (model.descriptor_.cells**2,)


def test_the_whole_crops_parts_are_the_way_to_the_point(ridge) -> None:
    image = HELD.images[0]
    found = ridge.contributions(image, 3)
    start = ridge.offset_.reshape(-1, 2)[3]
    assert found.total == pytest.approx(
        float(np.linalg.norm(ridge.predict(image[None])[0, 3] - start)), rel=1e-3
    )
    assert found.xy.min() == pytest.approx(found.side_px / 2 - 0.5), "cells from the first pixel on"


def test_what_cannot_be_taken_apart_does_not_say_so() -> None:
    assert not supports(make_method("orb+forest"), Contributing), "bits have no place of their own"
    assert supports(make_method("hog+svm"), Contributing)
    assert not supports(MeanShape(), Contributing)


@pytest.mark.parametrize("descriptor", [HOG(cells=4, cell_px=5), SIFT(size_px=4)])
def test_a_feature_looks_where_it_says(descriptor) -> None:
    assert supports(descriptor, Placed)
    offset, side = descriptor.feature_places()
    point = np.array([31.5, 31.5])
    for cell in (0, 3, 12, 9):
        at = offset[cell * len(offset) // 16]
        image = np.full((64, 64), 100, np.uint8)
        x, y = np.rint(point + at).astype(int)
        cv2.circle(image, (int(x), int(y)), 1, 200, -1)
        rows = descriptor.describe(gaussian_pyramid(image, 1), Keypoints(point[None]))[0]
        assert np.abs(rows.reshape(16, -1)).sum(1).argmax() == cell
        assert np.abs(at).max() <= 1.5 * side


def test_weights_of_members_are_those_of_the_vote() -> None:
    members = [("ridge", HolisticRegressor()), ("mean", MeanShape())]
    vote = _fit(WeightedVote(members))
    ridge, mean = vote.voices(HELD.images)
    assert (ridge.name, mean.name) == ("ridge", "mean")
    fused = ridge.weight[..., None] * ridge.xy + mean.weight[..., None] * mean.xy
    np.testing.assert_allclose(fused, vote.predict(HELD.images), atol=1e-4)
    assert ridge.weight.mean() > mean.weight.mean(), "who sees the picture counts more"
    plain = _fit(Average(members, weights=(3, 1))).voices(HELD.images)
    np.testing.assert_allclose([v.weight[0, 0] for v in plain], [0.75, 0.25])


def test_messages_and_the_own_map_make_the_belief() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((1, 4, 12, 10))
    maps /= maps.sum((2, 3), keepdims=True)
    tree = Tree.of(np.array([-1, 0, 0, 2]), rng.random((4, 24, 20)))
    belief = marginals(maps, tree, 1.5)
    for k, neighbours in ((0, {1, 2}), (2, {0, 3}), (3, {2})):
        said = messages_to(maps, tree, 1.5, k)
        assert set(said) == neighbours
        product = np.prod([(maps[0, k] + 1e-6) ** 1.5, *said.values()], axis=0)
        np.testing.assert_allclose(product / product.sum(), belief[0, k], atol=1e-9)


def test_a_tree_says_who_moved_a_landmark(experts) -> None:
    tree = PictorialStructure(
        PatchDetector(HOG(cells=4, cell_px=3), scales=(1.0,)), guard=False, powers=(1.0,)
    )
    said = _fit(tree).messages(HELD.images[:1], 4)
    edges = {(k, int(p)) for k, p in enumerate(tree.parent_) if p >= 0}
    assert {m.landmark for m in said} == {a + b - 4 for a, b in edges if 4 in (a, b)}
    assert all(m.map.sum() == pytest.approx(1) and np.isfinite(m.moved).all() for m in said)
    found = explain.explain(tree, HELD.images[0], 4)
    assert found.maps is not None and len(found.messages) == len(said)
    html = render(found, {}, "picture", found.xy)
    assert "What moved point4 in the tree" in html and html.count(" says</b>") == len(said)
    tree.power_ = np.nan
    assert tree.messages(HELD.images[:1], 4) == [], "where the tree is not used it moved nobody"


# --------------------------------------------------------------------------------------------
# hiding
# --------------------------------------------------------------------------------------------


class Brightest:
    """One landmark: the brightest spot. What decides is known."""

    size_hw_ = (64, 64)

    def predict(self, images: Any) -> Any:
        soft = [cv2.GaussianBlur(np.asarray(i), (0, 0), 2).reshape(64, 64, -1).sum(-1) for i in images]
        return np.array([[np.unravel_index(s.argmax(), s.shape)[::-1]] for s in soft], np.float32)

    def predict_with_score(self, images: Any) -> Any:
        return self.predict(images), np.full((len(images), 1), 0.5, np.float32)


def _spot() -> Any:
    image = np.zeros((64, 64), np.uint8)
    image[50:53, 20:23] = 255
    image[58:60, 52:54] = 160
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def test_occlusion_finds_what_decides() -> None:
    maps = explain.occlusion(Brightest(), _spot(), 16)
    assert maps.shape == (1, 16, 16)
    y, x = np.unravel_index(maps[0].argmax(), (16, 16))
    assert abs(4 * x + 1.5 - 21) <= 4 and abs(4 * y + 1.5 - 51) <= 4
    assert (maps[0] > 1).mean() < 0.1, "nothing else matters"


class Balance:
    """One landmark: to the right as far as the right half is brighter than the left one."""

    def predict(self, images: Any) -> Any:
        halves = np.asarray(images, float).mean(axis=(1, 3)).reshape(len(images), 2, -1).mean(2)
        x = 32 + halves[:, 1] - halves[:, 0]
        return np.stack([x, np.full(len(x), 20.0)], 1)[:, None]


def test_what_pushes_to_opposite_sides_is_not_hidden_together() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[24:40, 8:24] = image[24:40, 40:56] = 200
    maps = explain.occlusion(Balance(), image)
    sides = np.array([maps[0, 6:10, 1:6].max(), maps[0, 6:10, 10:15].max()])
    assert sides.max() > 1 and sides.min() < 0.1 * sides.max(), "only one side of the balance counts"
    assert explain.deletion_test(Balance(), image, maps).ratio[0] > 3


def test_the_deletion_test_tells_true_maps_from_false_ones() -> None:
    model, image = Brightest(), _spot()
    true = explain.deletion_test(model, image, explain.occlusion(model, image))
    false = explain.deletion_test(model, image, np.arange(256.0).reshape(1, 16, 16)[:, ::-1])
    assert true.important[0] > 30 and true.ratio[0] > 3
    assert false.important[0] < 1 and true.chance[0] == false.chance[0]


def test_one_landmark_can_be_tested_by_itself(ridge) -> None:
    maps = explain.occlusion(ridge, HELD.images[0])
    whole = explain.deletion_test(ridge, HELD.images[0], maps)
    alone = explain.deletion_test(ridge, HELD.images[0], maps[3:4], [3])
    np.testing.assert_allclose(
        [alone.important[0], alone.chance[0]], [whole.important[3], whole.chance[3]], atol=1e-6
    )


def test_hiding_needs_pixels_and_maps() -> None:
    with pytest.raises(InputError, match="65 x 65 cells does not fit"):
        explain.occlusion(Brightest(), _spot(), 65)
    with pytest.raises(InputError, match=r"\(K, G, G\)"):
        explain.deletion_test(Brightest(), _spot(), np.zeros((1, 3, 4)))


def test_places_become_pixels_and_cells() -> None:
    parts = Contributions("", np.array([[10.0, 20.0], [-50, 0]]), np.array([2.0, 1.0]), 4.0, 0.0)
    pixels = spread(parts, parts.value, (40, 60))
    assert pixels.sum() == pytest.approx(2), "what lies outside is lost"
    y, x = np.mgrid[:40, :60]
    assert (pixels * x).sum() / 2 == pytest.approx(10) and (pixels * y).sum() / 2 == pytest.approx(20)
    cells = on_grid(pixels, 4)
    assert cells.shape == (4, 4) and cells[2, 0] + cells[1, 0] == pytest.approx(2)


def test_models_are_walked_inside_out(experts, ridge) -> None:
    assert [name for name, _ in inside(experts)] == ["", "start"]
    both = Average([("a", HolisticRegressor()), ("b", MeanShape())])
    assert [name for name, _ in inside(_fit(both))] == ["", "a", "b"]


# --------------------------------------------------------------------------------------------
# the page
# --------------------------------------------------------------------------------------------


def test_a_page_with_everything_on_it(tmp_path, capsys) -> None:
    members = [
        ("ridge", HolisticRegressor()),
        ("experts", PatchDetector(HOG(cells=4, cell_px=3), scales=(1.0,))),
    ]
    model = _fit(WeightedVote(members))
    save_model(
        model, tmp_path / "m.hkp", {"landmarks": list("abcde"), "method": "a & b", "size_hw": [64, 64]}
    )
    cv2.imwrite(str(tmp_path / "p.png"), HELD.images[0])
    boxes = {
        "images": [{"id": 1, "file_name": "p.png"}],
        "annotations": [{"image_id": 1, "bbox": [2, 2, 58, 58]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    args = [str(tmp_path / "m.hkp"), str(tmp_path / "p.png"), "--boxes", str(tmp_path / "boxes.json")]
    out = tmp_path / "why.html"
    assert main(["explain", *args, "--landmark", "c", "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    html = out.read_text()
    assert "<h1>Why a &amp; b put c there</h1>" in html, "names are text"
    for heading in (
        "What there is to see",
        "The way to the points",
        "Who said what",
        "Which pixels decided about c",
    ):
        assert f">{heading}</h2>" in html
    assert len(re.findall('src="data:image/jpeg', html)) == html.count("<img"), "one file, nothing outside"
    assert "http" not in re.sub(r"data:image[^\"]*", "", html)
    rows = re.findall(r"<td class=\"n\"><b>([\d.]+) ×</b></td>", html)
    assert len(rows) == 1 + 3, "occlusion; the ridge, the experts, and the experts' start"
    assert main(["explain", *args, "--object", "1", "-o", str(out)]) == 2
    assert "has 1 boxes" in capsys.readouterr().err


def test_a_network_shows_its_gradients(one_torch_thread) -> None:
    net = make_method("heatmap", quick=True).set_params(input_px=32, schedule__max_epochs=1)
    found = explain.explain(_fit(net), HELD.images[0], landmark=1)
    assert [e.name for e in found.evidence] == ["Occlusion", "Input gradients"]
    gradients = net.input_gradients(HELD.images[:2], 1)
    step = HELD.images[:2].astype(np.float32)
    assert gradients.shape == step.shape[:3] and gradients.max() > 0
    assert found.maps is not None and found.maps.shape[0] == 5 and found.occlusion.shape == (5, GRID, GRID)


def test_mistakes_are_one_line(ridge) -> None:
    image = HELD.images[0]
    for wrong in (5, -1, "nose"):
        with pytest.raises(InputError, match=f"no landmark {wrong!r}: give 0 to 4, or a name"):
            explain.page(ridge, image, landmark=wrong)
    with pytest.raises(InputError, match="lies outside of the picture"):
        explain.page(ridge, image, box_xywh=[100, 100, 20, 20])
    for picture, box, words in (
        (None, None, "got None"),
        (image, "nose", "four numbers"),
        (image, [1], "many"),
    ):
        with pytest.raises(InputError, match=words):
            explain.page(ridge, picture, box_xywh=box)
    pages = [explain.page(ridge, each, landmark=0) for each in (image, image.astype(np.uint16) * 257)]
    first, second = (re.findall(r"base64,[^\"]+", html) for html in pages)
    assert first and first == second, "16 bits are the same picture"
    with pytest.raises(InputError, match="only detectors of landmarks in crops"):
        explain.page(make_matcher("orb"), image)
    with pytest.raises(InputError, match="sees image, depth"):
        explain.page(ridge, image, meta={"modalities": ["image", "depth"]})


# --------------------------------------------------------------------------------------------
# drawing
# --------------------------------------------------------------------------------------------


def test_signs_have_colours() -> None:
    grey = np.full((40, 60), 128, np.uint8)
    drawn = draw_signed(grey, [[1.0, 0.0, -1.0]]).astype(int)
    assert drawn[20, 5, 0] > drawn[20, 5, 2] + 60, "for is blue"
    assert drawn[20, 55, 2] > drawn[20, 55, 0] + 60, "against is orange"
    assert (drawn[20, 30] == 128).all() and (draw_signed(grey, np.zeros((2, 2))) == 128).all()
    with pytest.raises(InputError, match="shape"):
        draw_signed(grey, np.zeros(3))


def test_rays_point_where_they_should() -> None:
    dark = np.zeros((41, 41), np.uint8)
    rays = np.array([[1.0, 0.0]])
    right = draw_cells(dark, (20, 20), [[0, 0]], 30, rays, [0, 90]).max(2)
    assert right[20, 28] > 100 and right[28, 20] < 50
    down = draw_cells(dark, (20, 20), [[0, 0]], 30, rays[:, ::-1], [0, 90]).max(2)
    assert down[28, 20] > 100 and down[20, 28] < 50 and down[5, 20] > 50, "the cell has a border"
    with pytest.raises(InputError, match="need as many rays"):
        draw_cells(dark, (20, 20), [[0, 0]], 30, rays, [0])


# --------------------------------------------------------------------------------------------
# pairs
# --------------------------------------------------------------------------------------------


def _two_pictures() -> tuple[Any, Any]:
    pair = next(p for p in make_pairs(160) if p.change == "rotation")
    return pair.load_a(), pair.load_b()


@pytest.mark.parametrize("method", ["sift[rule=ratio,ratio=0.8]", "orb"])
def test_every_point_has_a_fate(method) -> None:
    matcher = make_matcher(method, 150)
    e = explain.explain_pair(matcher, *_two_pictures())
    found = e.found
    assert (e.fate == "inlier").sum() == found.inlier.sum() > 20
    assert np.isin(e.fate, ["inlier", "outlier"]).sum() == len(found.xy_a), "every match is one of the points"
    good = e.fate == "inlier"
    np.testing.assert_allclose(
        sorted(map(tuple, found.keypoints_b.xy[e.nearest[good]].tolist())),
        sorted(map(tuple, found.xy_b[found.inlier].tolist())),
    )
    assert e.off[good].max() < matcher.threshold_px + 0.1 and (e.distance[:, 0] <= e.distance[:, 1]).all()
    if matcher.rule == "ratio":
        assert e.ratio[np.isin(e.fate, ["inlier", "outlier"])].max() <= 0.8 + 1e-6
        assert e.ratio[e.fate == "dropped"].min() >= 0.8 - 1e-6


def test_a_page_of_a_pair(tmp_path, capsys) -> None:
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path, image in zip(paths, _two_pictures(), strict=True):
        cv2.imwrite(path, image)
    out = tmp_path / "why.html"
    assert main(["explain", "--pair", *paths, "--method", "orb", "-o", str(out)]) == 0
    html = out.read_text()
    assert "Why orb matched these points" in html and "nearest bits, median" in html
    assert html.count("<img") == len(re.findall('src="data:image/jpeg', html)) > 4
    assert main(["explain", "--pair", *paths, "--method", "sift:grid", "-o", str(out)]) == 2
    assert "pages of pairs are of one feature" in capsys.readouterr().err
    for wrong in (["explain", "-o", str(out)], ["explain", "m.hkp", "--pair", *paths, "-o", str(out)]):
        assert main(wrong) == 2
    with pytest.raises(InputError, match="nothing to compare"):
        explain.explain_pair(make_matcher("orb"), np.zeros((50, 50), np.uint8), np.zeros((50, 50), np.uint8))
