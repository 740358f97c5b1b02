"""SURF against its authors' own program, and against analytic blobs and textures."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.base import clone

from hybridkp.descriptors import surf as module
from hybridkp.descriptors._surf_hessian import integral
from hybridkp.descriptors._surf_rows import Wavelets, orientations
from hybridkp.descriptors.surf import SCALE_OF_SIZE, SURF, pack_octave, unpack_octave
from hybridkp.imaging.pyramid import gaussian_pyramid
from hybridkp.structures import Array, Descriptor, InputError, Keypoints, LocalFeature

PLACE = 0.2  #: px; under a half-pixel shift, over the interpolation error of a 2 px grid


def blob(centre: Array, sigma: float, contrast: float, side: int = 160) -> Array:
    y, x = np.mgrid[:side, :side]
    r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    return (128 + contrast * np.exp(-r2 / (2 * sigma**2))).round().astype(np.uint8)


def texture(
    turn: float = 0.0,
    side: int = 160,
    shift: tuple[float, float] = (0.0, 0.0),
    slope: float = 0.0,
    contrast: float = 18.0,
) -> Array:
    """A smooth texture defined by formula, turned clockwise about the centre of the picture."""
    rng = np.random.default_rng(5)
    half = (side - 1) / 2
    y, x = (np.mgrid[:side, :side] - half).astype(float)
    x, y = x - shift[0], y - shift[1]
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    u, v = c * x + s * y, c * y - s * x
    out = slope * u / contrast
    for wave, phase in zip(rng.normal(0, 0.25, (40, 2)), rng.uniform(0, 6.3, 40), strict=True):
        out += np.cos(wave[0] * u + wave[1] * v + phase)
    return np.clip(128 + contrast * out, 0, 255).round().astype(np.uint8)


def scattered(n: int = 50, side: int = 160) -> Keypoints:
    rng = np.random.default_rng(1)
    return Keypoints(
        rng.uniform(-10, side + 10, (n, 2)), size=rng.uniform(5, 60, n), angle=rng.uniform(0, 360, n)
    )


# -- the authors' program -----------------------------------------------------------------------


def reference(root: Path, name: str) -> tuple[Array, Array, Array]:
    """xy (N, 2), scale s (N,) and rows (N, 64) of a file of the authors' program, in our layout.

    The file gives 1 / r^2 with r = 2.5 s, and per subregion the sums of negative and of positive
    responses; the upright program counts dy upwards.
    """
    with gzip.open(root / "surf_reference" / f"graf1.{name}.txt.gz", "rt") as lines:
        table = np.loadtxt(lines, skiprows=2)
    part = table[:, 6:].reshape(-1, 16, 4)
    up = -1 if name == "usurf64" else 1
    dx, dy = part[..., 0] + part[..., 1], up * (part[..., 2] + part[..., 3])
    rows = np.stack([dx, dy, part[..., 1] - part[..., 0], part[..., 3] - part[..., 2]], axis=-1)
    rows = rows.reshape(len(table), -1)
    return table[:, :2], 0.4 / np.sqrt(table[:, 2]), rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def graf(data_root: Path) -> Array:
    path = data_root / "surf_reference" / "graf1.png"
    if not path.is_file():
        pytest.skip(f"no {path}: the output of the authors' program is not among these data")
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def found(points: Keypoints, xy: Array, scale: Array) -> float:
    """Fraction of the points (xy, scale) that ``points`` has within 1 px and 10 % of scale."""
    near = np.linalg.norm(points.xy[None] - xy[:, None], axis=2) <= 1
    alike = np.abs(points.size[None] * SCALE_OF_SIZE / scale[:, None] - 1) <= 0.1
    return float((near & alike).any(axis=1).mean())


@pytest.mark.data
def test_finds_the_points_of_the_authors_program(graf: Array, data_root: Path) -> None:
    xy, scale, _ = reference(data_root, "surf64")
    points = SURF(threshold=20, upright=True).detect(graf)[: len(xy)]  # strongest first
    assert len(points) == len(xy) == 1561
    assert found(points, xy, scale) >= 0.95
    default = SURF(upright=True).detect(graf)
    assert abs(len(default) - len(xy)) <= 0.02 * len(xy)
    # the measure tells half a pixel: the median distance is far below it
    distance = np.linalg.norm(points.xy[None] - xy[:, None], axis=2).min(axis=1)
    assert np.median(distance) < 0.05


@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("usurf64", 0.98), ("surf64", 0.95)])
def test_rows_agree_with_the_authors_program(graf: Array, data_root: Path, name: str, least: float) -> None:
    xy, scale, theirs = reference(data_root, name)
    points = Keypoints(xy, size=scale / SCALE_OF_SIZE)
    ours = SURF(upright=name == "usurf64").describe(gaussian_pyramid(graf, 1), points)
    assert np.median((ours * theirs).sum(axis=1)) >= least


# -- detection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [2.5, 3.2, 4.5, 6.4, 9.0])
@pytest.mark.parametrize("contrast", [-80, 80])
def test_blob_at_its_place_and_scale(sigma: float, contrast: int) -> None:
    for centre in np.random.default_rng(0).uniform(76, 84, (8, 2)):
        points = SURF().detect(blob(centre, sigma, contrast))
        assert np.abs(points.xy[0] - centre).max() < PLACE
        assert 0.65 < points.size[0] * SCALE_OF_SIZE / sigma < 0.82  # box filters answer at 0.75 sigma
        _, _, sign = unpack_octave(points.octave)
        assert sign[0] == (1 if contrast < 0 else -1)


def test_detection_moves_with_the_picture() -> None:
    """Turned by quarters, the points turn with it, exactly: no offset hides in the convention."""
    side = 161  # the sampling grid maps onto itself
    picture = texture(side=side)
    points = SURF(upright=True).detect(picture)
    turned = SURF(upright=True).detect(np.ascontiguousarray(np.rot90(picture)))
    assert len(points) == len(turned) > 10
    back = np.stack([side - 1 - turned.xy[:, 1], turned.xy[:, 0]], axis=1)
    gap = np.linalg.norm(points.xy[:, None] - back[None], axis=2).min(axis=1)
    assert gap.max() < 1e-2


def test_threshold_orders_and_cuts() -> None:
    picture = texture()
    points = SURF(threshold=5).detect(picture)
    assert (np.diff(points.score) <= 0).all() and points.score.min() > 5
    cut = float(points.score[len(points) // 2 :][:2].mean())
    assert len(SURF(threshold=cut).detect(picture)) == (points.score > cut).sum()


def test_ties_give_one_point() -> None:
    """A square between two samples of the grid is seen equally by both."""
    picture = np.full((120, 120), 40, np.uint8)
    picture[56:64, 57:65] = 200
    points = SURF().detect(picture)
    gap = np.linalg.norm(points.xy[:, None] - points.xy[None], axis=2) + np.eye(len(points)) * 9
    assert len(points) >= 1 and gap.min() > 1


@pytest.mark.parametrize("size_hw", [(2, 2), (33, 33), (20, 400), (64, 64)])
def test_small_and_blank_pictures(size_hw: tuple[int, int]) -> None:
    for picture in (np.zeros(size_hw, np.uint8), np.full((*size_hw, 3), 255, np.uint8)):
        points, rows = SURF(extended=True).detect_and_describe(picture)
        assert len(points) == 0 and rows.shape == (0, 128)


def test_huge_bright_picture_does_not_overflow() -> None:
    """Over 8 megapixels the int32 sums wrap around; what is read from them does not."""
    picture = np.full((1000, 9000), 255, np.uint8)
    picture[900:, 8900:] = 255 - blob(np.array([50.3, 49.8]), 4.0, 100, 100)
    points = SURF(n_octaves=2).detect(picture)
    at = np.argmin(np.linalg.norm(points.xy - [8950.3, 949.8], axis=1))
    assert np.abs(points.xy[at] - [8950.3, 949.8]).max() < PLACE


def test_wide_filters_change_to_float_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SURF().detect(texture())
    monkeypatch.setattr(module, "_WIDEST_LOBE", 0)
    two = SURF().detect(texture())
    np.testing.assert_allclose(two.xy, one.xy, atol=1e-3)


@pytest.mark.parametrize("wrong", [{"n_octaves": 0}, {"sampling_step": 0}, {"threshold": 0.0}])
def test_parameters_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SURF(**wrong).detect(texture())


def test_packed_octave() -> None:
    packed = pack_octave(3, np.array([1, 2, 3]), np.array([-1, 1, -1]))
    octave, layer, sign = unpack_octave(packed)
    assert octave.tolist() == [3, 3, 3] and layer.tolist() == [1, 2, 3] and sign.tolist() == [-1, 1, -1]
    octave, layer, sign = unpack_octave(SURF().detect(texture()).octave)
    assert (octave < 4).all() and ((layer >= 1) & (layer <= 3)).all() and (np.abs(sign) == 1).all()


# -- orientation --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [0, 45, 90, 200, 330])
def test_angle_points_along_the_gradient(direction: float) -> None:
    """A ramp that grows brighter towards ``direction``, clockwise on screen."""
    y, x = np.mgrid[:80, :80] - 39.5
    a = np.deg2rad(direction)
    ramp = (128 + np.cos(a) * x + np.sin(a) * y).round().astype(np.uint8)
    row = SURF().describe(gaussian_pyramid(ramp, 1), Keypoints([[40, 40]], size=[15]))
    given = Keypoints([[40, 40]], size=[15], angle=[direction])
    np.testing.assert_allclose(row, SURF().describe(gaussian_pyramid(ramp, 1), given), atol=0.05)
    assert row.reshape(16, 4)[:, 0].sum() > 2.7 and abs(row.reshape(16, 4)[:, 1].sum()) < 0.3


@pytest.mark.parametrize("turn", [30.0, 75.0, 160.0])
@pytest.mark.parametrize("size", [12.0, 30.0])
def test_angles_and_rows_turn_with_the_picture(turn: float, size: float) -> None:
    xy = np.random.default_rng(3).uniform(60, 100, (40, 2))
    moved = turned(xy, turn)
    lit = texture(slope=0.8, contrast=0.1)  # one side brighter: that is an orientation
    lit_turned = texture(turn, slope=0.8, contrast=0.1)
    scale = np.full(len(xy), size * SCALE_OF_SIZE)
    before, after = orientations(lit, xy, scale), orientations(lit_turned, moved, scale)
    error = (after - before - turn + 180) % 360 - 180
    assert np.abs(error).max() < 3
    angle = np.arange(40) * 9.0
    here = Keypoints(xy, size=np.full(40, size), angle=angle)
    there = Keypoints(moved, size=np.full(40, size), angle=(angle + turn) % 360)
    rows = SURF().describe(gaussian_pyramid(texture(), 1), here)
    rows_turned = SURF().describe(gaussian_pyramid(texture(turn), 1), there)
    assert np.median((rows * rows_turned).sum(axis=1)) > 0.995


@pytest.mark.parametrize("turn", [20.0, 110.0])
def test_points_turn_with_the_picture(turn: float) -> None:
    before, after = SURF().detect(texture()), SURF().detect(texture(turn))
    inside = np.linalg.norm(before.xy - 79.5, axis=1) < 50
    moved = turned(before.xy[inside], turn)
    assert inside.sum() > 10
    assert found(after, moved, before.size[inside] * SCALE_OF_SIZE) > 0.7


def turned(xy: Array, turn: float) -> Array:
    """Where the points of :func:`texture` go when it is turned."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return (xy - 79.5) @ np.array([[c, s], [-s, c]]) + 79.5


def test_upright_has_no_angle() -> None:
    points = SURF(upright=True).detect(texture())
    assert np.isnan(points.angle).all() and np.isfinite(SURF().detect(texture()).angle).all()


# -- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("upright", [False, True])
def test_rows_are_unit_and_finite_everywhere(extended: bool, upright: bool) -> None:
    surf = SURF(extended=extended, upright=upright)
    points = scattered()
    rows = surf.describe(gaussian_pyramid(texture(), 1), points)
    assert rows.shape == (50, surf.n_features) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    far = Keypoints([[-1e9, 3], [1e9, 1e9], [0, 0], [159, 159]], size=[9, 1e7, 1e4, 0.01])
    assert np.isfinite(surf.describe(gaussian_pyramid(texture(), 1), far)).all()


@pytest.mark.parametrize("upright", [False, True])
def test_row_i_belongs_to_point_i(upright: bool) -> None:
    points, pyramid = scattered(700), gaussian_pyramid(texture(), 1)  # more than a block
    surf = SURF(upright=upright)
    rows = surf.describe(pyramid, points)
    order = np.random.default_rng(2).permutation(len(points))
    np.testing.assert_allclose(surf.describe(pyramid, points[order]), rows[order], atol=1e-6)
    np.testing.assert_allclose(surf.describe(pyramid, points[5:6]), rows[5:6], atol=1e-6)


def test_rows_of_the_picture_are_rows_of_its_level() -> None:
    picture = texture()
    points, rows = SURF().detect_and_describe(picture)
    np.testing.assert_allclose(SURF().describe(gaussian_pyramid(picture, 1), points), rows, atol=1e-4)
    lost = Keypoints(points.xy, size=points.size)  # angles are found again
    np.testing.assert_allclose(SURF().describe(gaussian_pyramid(picture, 1), lost), rows, atol=1e-4)


def test_extended_splits_the_sums() -> None:
    points, pyramid = scattered(), gaussian_pyramid(texture(), 1)
    wide = SURF(extended=True).describe(pyramid, points).reshape(-1, 16, 8)
    plain = SURF().describe(pyramid, points).reshape(-1, 16, 4)
    joined = np.stack([wide[..., i] + wide[..., i + 2] for i in (0, 4, 1, 5)], axis=-1)
    length = np.linalg.norm(joined.reshape(-1, 64), axis=1)[:, None, None]
    np.testing.assert_allclose(joined / length, plain, atol=1e-5)


def test_half_a_pixel_is_seen() -> None:
    """A row follows the picture: same texture drawn half a pixel aside, point moved or not."""
    here = SURF(upright=True, size_px=12).describe(gaussian_pyramid(texture(), 1), grid_points())
    aside = gaussian_pyramid(texture(shift=(2.0, 0.0)), 1)
    moved = SURF(upright=True, size_px=12).describe(aside, grid_points((2.0, 0.0)))
    left = SURF(upright=True, size_px=12).describe(aside, grid_points((1.5, 0.0)))
    assert np.abs(moved - here).max() < 1e-3 < 1e-2 < np.abs(left - here).max(axis=1).min()


def grid_points(shift: tuple[float, float] = (0.0, 0.0)) -> Keypoints:
    x, y = np.meshgrid(np.arange(50.25, 110, 10), np.arange(50.25, 110, 10))
    return Keypoints(np.stack([x.ravel(), y.ravel()], axis=1) + shift)


def test_levels_and_sizes() -> None:
    pyramid, points = gaussian_pyramid(texture(), 2), scattered()
    on_level = Keypoints((points.xy + 0.5) / 2 - 0.5, size=points.size / 2, angle=points.angle)
    alone = gaussian_pyramid(texture(), 2).levels[1]
    direct = SURF()._rows(alone, on_level.xy, on_level.size.astype(float), on_level.angle)
    np.testing.assert_allclose(SURF(level=1).describe(pyramid, points), direct, atol=1e-3)
    fixed = Keypoints(points.xy, size=np.full(len(points), 18.0), angle=points.angle)
    np.testing.assert_allclose(
        SURF(level=1, size_px=9).describe(pyramid, points), SURF(level=1).describe(pyramid, fixed), atol=1e-6
    )
    with pytest.raises(InputError, match="level 2"):
        SURF(level=2).describe(pyramid, points)
    with pytest.raises(InputError, match="positive"):
        SURF(size_px=0).describe(pyramid, points)


def test_no_points_and_blank() -> None:
    blank = gaussian_pyramid(np.full((60, 60), 7, np.uint8), 1)
    assert SURF().describe(blank, Keypoints(np.zeros((0, 2)))).shape == (0, 64)
    rows = SURF().describe(blank, Keypoints([[30, 30], [0, 59]], size=[9, 40]))
    assert (rows == 0).all()


def test_wavelets_by_hand() -> None:
    """Against sums of pixels, inside and across the border."""
    picture = texture(side=40)
    half = np.array([3, 1, 7])
    x, y = np.array([[20.0], [0.0], [39.0]]), np.array([[18.0], [5.0], [39.0]])
    gx, gy = Wavelets(picture, half, 1)(x, y, half)
    around = np.pad(picture.astype(float), 10, mode="edge")
    for i, r in enumerate(half):
        column, row = int(x[i, 0]) + 10, int(y[i, 0]) + 10
        patch = around[row - r : row + r + 1, column - r : column + r + 1]
        area = r * (2 * r + 1)
        assert gx[i, 0] == pytest.approx((patch[:, r + 1 :].sum() - patch[:, :r].sum()) / area, rel=1e-5)
        assert gy[i, 0] == pytest.approx((patch[r + 1 :].sum() - patch[:r].sum()) / area, rel=1e-5)
    assert integral(picture).dtype == np.int32 and integral(picture.astype(np.float32)).dtype == np.float64


def test_wavelets_once_per_pixel_are_the_same() -> None:
    picture, half = texture(side=40), np.full(30, 4)
    x, y = np.random.default_rng(0).uniform(-15, 55, (2, 30, 60))
    one, all_at_once = Wavelets(picture, half, 1), Wavelets(picture, half, 60)
    assert one.dense is None and all_at_once.dense is not None
    np.testing.assert_array_equal(one(x, y, half), all_at_once(x, y, half))


def test_promises() -> None:
    surf = SURF(extended=True, threshold=50)
    assert isinstance(surf, Descriptor) and isinstance(surf, LocalFeature) and surf.norm == "L2"
    assert clone(surf).get_params() == surf.get_params()
    picture = texture()
    picture.setflags(write=False)
    before = vars(surf).copy()
    first, second = surf.detect_and_describe(picture), surf.detect_and_describe(picture)
    assert vars(surf) == before
    np.testing.assert_array_equal(first[1], second[1])
    colour = surf.detect(np.dstack([picture] * 3))
    np.testing.assert_array_equal(colour.xy, first[0].xy)
