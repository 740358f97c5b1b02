"""Objects followed through frames: motion, flow, identities, smoothing, films and their files."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from hybridkp.cli import main
from hybridkp.datasets import make_film
from hybridkp.evaluate import follow_film, predict_film
from hybridkp.files import Camera, Film, is_camera, save_model
from hybridkp.imaging.images import RangeWarning
from hybridkp.landmarks import MeanShape
from hybridkp.runtime import Tracker
from hybridkp.structures import InputError, Instance
from hybridkp.tracking import smooth_points
from hybridkp.tracking.filters import KalmanPoints, OneEuroPoints, variance_of
from hybridkp.tracking.flow import follow
from hybridkp.tracking.identity import appearance, assign
from hybridkp.tracking.smoothing import Delayed

SIZE = (120, 160)
ARMS = np.array([[0.0, 0.0], [-9.0, 0.0], [0.0, 9.0]])  # of each object's three points


def cross(x: float, y: float, picture: np.ndarray, grey: int) -> None:
    """An object whose middle is at (x, y), to 1/16 px."""
    for dx, dy in ARMS:
        at = (round((x + dx) * 16), round((y + dy) * 16))
        cv2.circle(picture, at, round(3.5 * 16), (grey, grey // 2, 255 - grey), -1, cv2.LINE_AA, 4)


class Film2:
    """Two objects that pass each other on a textured ground; the first is away for a while."""

    def __init__(self, n: int = 60, away: tuple[int, int] = (0, 0)) -> None:
        ground = np.random.default_rng(0).integers(0, 40, SIZE, dtype=np.uint8)
        self.ground = cv2.cvtColor(cv2.GaussianBlur(ground, (0, 0), 2), cv2.COLOR_GRAY2BGR)
        t = np.arange(n)
        self.middle = np.stack(
            [np.stack([25 + 1.8 * t, 40 + 6 * np.sin(t / 9)], 1), np.stack([135 - 1.8 * t, 80 + 0 * t], 1)], 1
        )  # (T, 2, 2)
        self.away = away

    def there(self, t: int) -> list[int]:
        return [k for k in range(2) if not (k == 0 and self.away[0] <= t < self.away[1])]

    def __iter__(self) -> Iterator[np.ndarray]:
        for t in range(len(self.middle)):
            picture = self.ground.copy()
            for k in self.there(t):
                cross(*self.middle[t, k], picture, (230, 120)[k])
            yield picture


class Sees:
    """A detector of whole pictures that reads the crosses from the pixels; noise comes on top."""

    min_score = 0.5

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.rng, self.finder, self.looks = noise, np.random.default_rng(1), self, 0

    def find(self, image, *, name=""):
        self.looks += 1
        bright = (image.max(2) > 100).astype(np.uint8)
        near = cv2.dilate(bright, np.ones((7, 7)))
        _, _, stats, _ = cv2.connectedComponentsWithStats(near)
        boxes = np.array([s[:4] for s in stats[1:] if s[4] > 150], float).reshape(-1, 4)
        return boxes, np.full(len(boxes), 0.9)

    def in_box(self, image, box, score=1.0):
        x, y, w, h = box
        x0, y0 = max(int(x) - 2, 0), max(int(y) - 2, 0)
        part = image[y0 : int(y + h) + 2, x0 : int(x + w) + 2].max(2).astype(float)
        weight = np.clip(part - 60, 0, None)
        if weight.sum() < 1000:
            return Instance(np.full((3, 2), np.nan), box_xywh=box, score=0.0, keypoint_scores=np.zeros(3))
        yy, xx = np.mgrid[: part.shape[0], : part.shape[1]]
        mean = np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum() + [x0, y0]
        xy = mean - ARMS.mean(0) + ARMS + self.rng.normal(0, self.noise, (3, 2))
        return Instance(xy, box_xywh=box, score=0.9, keypoint_scores=np.full(3, 0.9))


def run(tracker: Tracker, film: Film2) -> list[dict[int, np.ndarray]]:
    return [{i.track: i.xy for i in tracker.update(frame)} for frame in film]


def nearest(row: dict[int, np.ndarray], middle: np.ndarray) -> int:
    """The number of the object at that place."""
    return min(row, key=lambda n: np.linalg.norm(row[n][0] - middle))


def errors(found: list[dict[int, np.ndarray]], film: Film2, k: int, number: int) -> np.ndarray:
    return np.array(
        [
            np.linalg.norm(row[number] - (film.middle[t, k] + ARMS), axis=1).mean()
            for t, row in enumerate(found)
            if number in row
        ]
    )


# --------------------------------------------------------------------------------------------
# the loop
# --------------------------------------------------------------------------------------------


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    film, sees = Film2(), Sees()
    found = run(Tracker(sees, find_every=10), film)
    assert all(sorted(row) == [0, 1] for row in found)
    first = 0 if np.linalg.norm(found[0][0][0] - film.middle[0, 0]) < 20 else 1
    for k in (0, 1):
        assert errors(found, film, k, first if k == 0 else 1 - first).max() < 0.4
    assert sees.looks <= 8, "the finder need not look at every frame"


def test_one_that_was_away_gets_its_number_back() -> None:
    film = Film2(60, away=(20, 32))
    found = run(Tracker(Sees(), find_every=30), film)
    numbers = [nearest(row, film.middle[t, 0]) for t, row in enumerate(found)]
    assert all(len(row) == 1 for row in found[24:32]), "who is not there is not given"
    assert all(len(row) == 2 for row in found[37:]), "found again within five frames"
    assert len(set(numbers[:20] + numbers[37:])) == 1
    assert set().union(*found) == {0, 1}


def test_jitter_goes_and_places_stay() -> None:
    film, result = Film2(80), {}
    for name in ("none", "one-euro", "kalman"):
        found = run(Tracker(Sees(noise=0.8), filter=name), film)
        number = nearest(found[0], film.middle[0, 0])
        track = np.stack([row[number] for row in found])
        result[name] = np.diff(track, 2, axis=0).std(), errors(found, film, 0, number).mean()
    assert result["kalman"][0] < 0.5 * result["none"][0] and result["kalman"][1] < 0.7 * result["none"][1]
    # the lighter one pays for calm with lag where things are as quick as here
    assert (
        result["one-euro"][0] < 0.85 * result["none"][0] and result["one-euro"][1] < 1.3 * result["none"][1]
    )


def test_uneven_times_are_told_from_even_ones() -> None:
    """Two frames of five are there: with their times the speed is steady, without it jumps."""
    film, kept = Film2(60), [t for t in range(60) if t % 5 < 2]
    frames, apart = list(film), {}
    for told in (True, False):
        tracker = Tracker(Sees(noise=0.8), flow=False, find_every=1)
        rows = [{i.track: i.xy for i in tracker.update(frames[t], t / 25 if told else None)} for t in kept]
        number = nearest(rows[0], film.middle[0, 0])
        late = list(zip(kept, rows, strict=True))[6:]
        apart[told] = np.mean([np.linalg.norm(row[number][0] - film.middle[t, 0]) for t, row in late])
    assert apart[True] < 0.8 * apart[False]


def test_a_number_of_objects_that_is_known_is_kept() -> None:
    found = run(Tracker(Sees(), max_objects=1), Film2(20))
    assert all(len(row) == 1 for row in found)


def test_state_goes_on_where_it_was() -> None:
    film = list(Film2(50, away=(18, 30)))
    whole = Tracker(Sees())
    expected = [[(i.track, i.xy.tobytes()) for i in whole.update(frame)] for frame in film]
    first = Tracker(Sees())
    got = [[(i.track, i.xy.tobytes()) for i in first.update(frame)] for frame in film[:23]]
    state = json.loads(json.dumps(first.get_state()))
    second = Tracker(Sees())
    second.set_state(state, film[22])
    got += [[(i.track, i.xy.tobytes()) for i in second.update(frame)] for frame in film[23:]]
    assert got == expected


def test_bad_input_is_told() -> None:
    tracker = Tracker(Sees())
    tracker.update(np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(InputError, match="reset"):
        tracker.update(np.zeros((61, 80, 3), np.uint8))
    with pytest.raises(InputError, match="number of seconds"):
        tracker.update(np.zeros((60, 80, 3), np.uint8), float("nan"))
    with pytest.raises(InputError, match="begin anew"):
        tracker.set_state({"frame": 3}, np.zeros((60, 80, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "find_every": (0, 1.5, "a", None, True),
        "patience": (0, None, [3]),
        "max_objects": (0, "2"),
        "lag": (-1, 101, 1.5, None),
        "filter": ("median", None, []),
    }.items(),
)
def test_settings_that_mean_nothing_are_told_by_name(name: str, values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(InputError, match=name):
            Tracker(Sees(), **{name: value})


@pytest.mark.parametrize(
    "boxes",
    [
        [1, 2, 3],
        "abcd",
        [[1, 2, 3]],
        [[np.nan] * 4],
        [[5, 5, -9, 9]],
        [[900, 5, 9, 9]],
        [[[1, 2, 9, 9]]],
        None,
    ],
)
def test_boxes_that_are_none_are_told_before_one_is_followed(boxes: object) -> None:
    tracker, frame = Tracker(Sees()), next(iter(Film2(1)))
    with pytest.raises(InputError, match="box"):
        tracker.start(frame, boxes if np.ndim(boxes) != 2 else [[20, 30, 22, 22], *boxes])  # type: ignore[misc]
    assert tracker.tracks == []
    assert len(tracker.start(frame, [*Film2(1).middle[0, 1] - [14, 6], 22, 22])) == 1


def test_frames_of_floats_keep_their_brightness() -> None:
    """A film in 0..255 whose picture goes black: a dark frame after a bright one is read as dark."""
    tracker, dark = Tracker(Sees()), np.full((60, 80), 1.25, np.float32)
    seen = [tracker._read(frame)[0].max() for frame in (dark / 5, dark * 100, dark, dark / 5)]
    assert seen == [64, 125, 1, 0], "as 0..1 until one was brighter"
    again = Tracker(Sees())
    again.set_state(json.loads(json.dumps(tracker.get_state())), dark)
    assert again._read(dark)[0].max() == 1
    tracker.reset()
    assert tracker._read(dark / 5)[0].max() == 64


def test_16_bit_frames_keep_their_brightness() -> None:
    """A film of 12 bits that begins black: a dark frame after a bright one is read as dark."""
    tracker, seen = Tracker(Sees()), []

    def find(image: np.ndarray, **_: object) -> tuple[np.ndarray, np.ndarray]:
        seen.append(image.max())
        return np.zeros((0, 4)), np.zeros(0)

    tracker.detector.find = find
    dark = np.full((60, 80), 1000, np.uint16)
    for k, frame in enumerate((dark * 0, dark // 10, dark * 4, dark, dark.astype(">u2"))):
        if k in (1, 2):
            with pytest.warns(RangeWarning, match="need (8|12) bits"):
                tracker.update(frame)
        else:
            tracker.update(frame)
        tracker.until_look = 0
        if k == 3:
            state = json.loads(json.dumps(tracker.get_state()))
    assert seen == [0, 100, round(4000 / 4095 * 255), 62, 62]
    again = Tracker(Sees())
    again.set_state(state, dark)
    assert again.before.max() == 62


def test_a_detector_without_a_finder_follows_what_it_is_given() -> None:
    film, sees = Film2(30), Sees()
    sees.finder = None
    tracker, frames = Tracker(sees), list(film)
    start = tracker.start(frames[0], [[*(film.middle[0, 1] - [14, 6]), 22, 22]])
    assert [i.track for i in start] == [0]
    found = [{i.track: i.xy for i in tracker.update(frame)} for frame in frames[1:]]
    assert max(np.abs(row[0] - film.middle[t, 1] - ARMS).max() for t, row in enumerate(found, 1)) < 0.4


# --------------------------------------------------------------------------------------------
# parts
# --------------------------------------------------------------------------------------------


def test_flow_is_the_shift_of_the_picture() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (120, 140), dtype=np.uint8), (0, 0), 2)
    moved = cv2.warpAffine(picture, np.array([[1, 0, 2.5], [0, 1, -1.25]]), (140, 120))
    xy = np.vstack([rng.uniform(35, 85, (20, 2)), [[np.nan, 3], [300, 5]]])
    shift, variance = follow(picture, moved, xy)
    assert np.isnan(shift[20:]).all() and (variance > 0).all()
    assert np.isfinite(shift[:20, 0]).mean() > 0.6
    assert np.nanmax(np.abs(shift[:20] - [2.5, -1.25])) < 0.15, "half a pixel would show"


def test_assignment_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        cost = rng.random(rng.integers(1, 7, 2)).round(1)
        pairs = assign(cost, np.inf)
        rows, columns = linear_sum_assignment(cost)
        assert len(pairs) == len(rows)
        assert sum(cost[p] for p in pairs) == pytest.approx(cost[rows, columns].sum())
    assert assign(np.array([[0.9]]), 0.5) == [] and assign(np.zeros((0, 3)), 1) == []


def test_looks_tell_colours_and_sizes_apart() -> None:
    picture = np.zeros((60, 120, 3), np.uint8)
    picture[:, 60:] = (10, 200, 90)
    boxes = [5, 5, 20, 20], [8, 8, 20, 20], [70, 5, 20, 20]
    one, same, other = (appearance(picture, np.array(box, float)) for box in boxes)
    assert np.linalg.norm(one - same) < 0.1 < np.linalg.norm(one - other)
    assert np.linalg.norm(one - appearance(picture, np.array([5.0, 5, 40, 40]))) > 0.5


@pytest.mark.parametrize("kind", [KalmanPoints, OneEuroPoints])
def test_a_filter_ends_where_the_points_stay(kind) -> None:
    filter_ = kind(np.array([[10.0, 5.0], [np.nan, np.nan]]), np.ones(2), 40.0)
    for _ in range(60):
        filter_.predict(1.0, 40.0, np.full((2, 2), np.nan), np.ones(2))
        filter_.correct(np.array([[12.0, 5.5], [1.0, 2.0]]), np.ones(2), 40.0)
    assert np.abs(filter_.xy - [[12.0, 5.5], [1.0, 2.0]]).max() < 0.1


def test_one_wild_point_moves_nothing_and_a_lasting_one_does() -> None:
    filter_ = KalmanPoints(np.zeros((1, 2)), np.ones(1), 40.0)
    nothing = np.full((1, 2), np.nan)
    for x in [0.0] * 10 + [30.0]:
        filter_.predict(1.0, 40.0, nothing, np.ones(1))
        filter_.correct(np.array([[x, 0.0]]), np.ones(1), 40.0)
    assert abs(filter_.xy[0, 0]) < 3
    for _ in range(10):
        filter_.predict(1.0, 40.0, nothing, np.ones(1))
        filter_.correct(np.array([[30.0, 0.0]]), np.ones(1), 40.0)
    assert abs(filter_.xy[0, 0] - 30) < 1.5


def test_variance_is_that_of_the_promised_probability() -> None:
    rng = np.random.default_rng(0)
    for score in (0.2, 0.5, 0.9):
        sd = np.sqrt(variance_of(np.array([score]), 100.0)[0])
        apart = np.linalg.norm(rng.normal(0, sd, (20_000, 2)), axis=1)
        assert (apart < 2.5).mean() == pytest.approx(score, abs=0.02)


def test_smoothing_fills_short_gaps_alone() -> None:
    t = np.arange(60.0)
    truth = np.stack([2 * t, 30 + 5 * np.sin(t / 10)], 1)[:, None]
    noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape)
    noisy[10:15] = noisy[30:50] = np.nan
    smooth, variance = smooth_points(noisy, np.ones((60, 1)), 40.0, max_gap=10)
    assert np.isfinite(smooth[:30]).all() and np.isnan(smooth[30:50]).all()
    assert np.isfinite(variance[10:15]).all() and (variance[11:14] > variance[5]).all()
    seen = np.isfinite(noisy[:, 0, 0])
    assert np.abs(smooth - truth)[seen].mean() < 0.6 * np.abs(noisy - truth)[seen].mean()
    with pytest.raises(InputError, match="increase"):
        smooth_points(noisy, np.ones((60, 1)), 40.0, frames=np.zeros(60))


# --------------------------------------------------------------------------------------------
# films
# --------------------------------------------------------------------------------------------


def write_film(path: Path, frames: list[np.ndarray]) -> Path:
    h, w = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (w, h))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def film_file(tmp_path_factory) -> Path:
    frames = [f for n in (60, 60) for f in Film2(n)]
    return write_film(tmp_path_factory.mktemp("film") / "two.mp4", frames)


def test_frames_come_with_numbers_and_times(film_file) -> None:
    film = Film(film_file)
    assert film.size_hw == SIZE and film.rate == 25 and film.n_frames == 120
    frames = list(film.frames(start=117))
    assert [f.number for f in frames] == [117, 118, 119]
    assert [f.time for f in frames] == pytest.approx([117 / 25, 118 / 25, 119 / 25], abs=1e-3)
    np.testing.assert_array_equal(frames[0].image, film.frame(117))


PLAYLISTS = b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile a.mp4\n"


@pytest.mark.parametrize("content", [b"", *PLAYLISTS, b"\0" * 99, None])
def test_what_is_no_film_is_refused(tmp_path, content) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mp4"):
        Film(path)


def test_a_cut_film_ends_with_one_line(film_file, tmp_path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film_file.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut\.mp4"):
        list(Film(cut).frames())


def avi(jpegs: list[bytes], size_hw: tuple[int, int]) -> bytes:
    """Pictures and silence as an AVI film of 25 frames a second."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    (h, w), n = size_hw, len(jpegs)
    head = chunk(b"avih", struct.pack("<14I", 40000, 0, 0, 16, n, 0, 2, 2**20, w, h, 0, 0, 0, 0))
    kinds = (
        (b"vidsMJPG", (1, 25, 0, n, 2**20), struct.pack("<IiiHH4s5I", 40, w, h, 1, 24, b"MJPG", *[0] * 5)),
        (b"auds\0\0\0\0", (1, 8000, 0, 320 * n, 640), struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)),
    )
    for kind, facts, form in kinds:
        stream = chunk(b"strh", kind + struct.pack("<IHHI5I2I4H", 0, 0, 0, 0, *facts, 0, 0, 0, 0, w, h))
        head += chunk(b"LIST", b"strl" + stream + chunk(b"strf", form))
    parts = [chunk(b"00dc", jpeg) + chunk(b"01wb", bytes([128]) * 320) for jpeg in jpegs]
    body = chunk(b"LIST", b"hdrl" + head) + chunk(b"LIST", b"movi" + b"".join(parts))
    return chunk(b"RIFF", b"AVI " + body)


def test_frames_that_cannot_be_decoded_and_sound_are_passed_over(tmp_path) -> None:
    frames = list(Film2(12))
    jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    for n in (0, 4, 5):
        jpegs[n] = b"\xff\xd8" + bytes(len(jpegs[n]) - 2)
    (tmp_path / "x.avi").write_bytes(avi(jpegs, SIZE))
    found = list(Film(tmp_path / "x.avi").frames())
    assert [f.number for f in found] == [1, 2, 3, *range(6, 12)]
    assert [f.time for f in found] == pytest.approx([f.number / 25 for f in found], abs=2e-3)
    for frame in found:
        off = [np.abs(frame.image.astype(int) - own).mean() for own in frames]
        assert int(np.argmin(off)) == frame.number


@pytest.mark.parametrize("frames", [[next(iter(Film2(1)))], [np.full((*SIZE, 3), 90, np.uint8)] * 5])
def test_a_film_of_one_frame_and_one_without_an_object(tmp_path, frames) -> None:
    film = write_film(tmp_path / "x.mp4", frames)
    found = follow_film(
        Tracker(Sees()), film, tmp_path / "out", meta={"landmarks": ["a", "b", "c"]}, smooth=True
    )
    assert found["frames"] == len(frames) and found["tracks"] == (2 if len(frames) == 1 else 0)
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(document["images"]) == len(frames) and len(document["annotations"]) == found["tracks"]
    assert len(list(Film(tmp_path / "out" / "film.mp4").frames())) == len(frames)


class Stop(Exception):
    pass


def test_a_stopped_film_goes_on_to_the_same_files(film_file, tmp_path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 105:
            raise Stop

    settings = {"meta": {"landmarks": ["a", "b", "c"]}, "smooth": True, "overlays": False}
    follow_film(Tracker(Sees()), film_file, tmp_path / "one", **settings)
    with pytest.raises(Stop):
        follow_film(Tracker(Sees()), film_file, tmp_path / "two", told=stop, **settings)
    assert not (tmp_path / "two" / "predictions.json").exists()
    part = tmp_path / "two" / ".tracking" / "part-000000100.json"
    whole = part.read_bytes()
    part.write_bytes(whole[:1000])
    with pytest.raises(InputError, match="damaged"):
        follow_film(Tracker(Sees()), film_file, tmp_path / "two", **settings)
    part.write_bytes(whole)
    began: list[int] = []
    told = lambda what, done, total: began.append(done)  # noqa: E731
    follow_film(Tracker(Sees()), film_file, tmp_path / "two", told=told, **settings)
    assert began[0] == 101
    for name in ("predictions.json", "tracks.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["predictions.json", "tracks.csv"]


def test_what_a_film_leaves(film_file, tmp_path) -> None:
    found = follow_film(Tracker(Sees()), film_file, tmp_path, meta={"landmarks": ["a", "b", "c"]})
    assert found["frames"] == 120
    document = json.loads((tmp_path / "predictions.json").read_text())
    assert [i["frame"] for i in document["images"]] == list(range(120))
    assert {a["track_id"] for a in document["annotations"]} >= {0, 1}
    assert document["categories"][0]["keypoints"] == ["a", "b", "c"]
    with open(tmp_path / "tracks.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [r[0] for r in rows[:4]] == ["scorer", "individuals", "bodyparts", "coords"] and len(rows) == 124
    one = next(a for a in document["annotations"] if a["image_id"] == 31 and a["track_id"] == 0)
    at = next(i for i, name in enumerate(rows[1]) if name == "track0")
    assert [float(v) for v in rows[34][at : at + 2]] == one["keypoints"][:2]
    drawn = Film(tmp_path / "film.mp4")
    assert drawn.size_hw == SIZE and sum(1 for _ in drawn.frames()) == 120


class FakeCapture:
    """What ``cv2.VideoCapture`` gives of a camera: a dark frame first, then as many as there are."""

    def __init__(self, frames: list[np.ndarray], stop_at: int = 10**9) -> None:
        self.rows, self.stop_at, self.read_so_far, self.released = frames, stop_at, 0, False

    def isOpened(self) -> bool:
        return bool(self.rows)

    def read(self):
        self.read_so_far += 1
        if self.read_so_far == self.stop_at:
            raise KeyboardInterrupt
        n = self.read_so_far - 2
        if n >= len(self.rows):
            return False, None
        return True, np.zeros_like(self.rows[0]) if n < 0 else self.rows[n]

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize("end", ["Ctrl-C", "max_frames", "unplugged"])
def test_a_camera_is_followed_to_its_end(monkeypatch, tmp_path, end) -> None:
    frames = list(Film2(112))
    fake = FakeCapture(frames, stop_at=105 if end == "Ctrl-C" else 10**9)
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: fake)
    monkeypatch.chdir(tmp_path)
    assert is_camera("0") and not is_camera("0.png")
    camera = Camera(0, max_frames=103 if end == "max_frames" else None)
    found = follow_film(Tracker(Sees()), camera, tmp_path / "live")
    assert found["frames"] == {"unplugged": 112}.get(end, 103) and fake.released
    monkeypatch.undo()
    document = json.loads((tmp_path / "live" / "predictions.json").read_text())
    assert len(document["images"]) == found["frames"] and document["images"][0]["time"] == 0
    seen = {a["track_id"] for a in document["annotations"] if a["image_id"] == 51}
    assert seen == {0, 1}
    assert sum(1 for _ in Film(tmp_path / "live" / "film.mp4").frames()) == found["frames"]
    assert sorted(p.name for p in (tmp_path / "live").iterdir()) == [
        "film.mp4",
        "predictions.json",
        "tracks.csv",
    ]


def test_a_camera_that_is_not_there_and_a_recording_that_is(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.hkp").write_bytes(b"")
    assert main(["predict", "m.hkp", "77", "-o", "out"]) == 2
    err = capsys.readouterr().err
    assert "camera 77: cannot be opened" in err and err.count("\n") == 1
    assert main(["predict", "m.hkp", "film.mp4", "--max-frames", "3", "-o", "out"]) == 2
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: FakeCapture(list(Film2(3))))
    (tmp_path / "predictions.json").write_text("{}")
    with pytest.raises(InputError, match="choose another"):
        follow_film(Tracker(Sees()), Camera(0), tmp_path)
    with pytest.raises(InputError, match="lag=0"):
        follow_film(Tracker(Sees(), lag=2), Camera(0), tmp_path / "late")
    (tmp_path / "7").mkdir()
    assert not is_camera("7"), "what lies there is meant"


def test_a_model_without_a_finder_says_so(film_file, tmp_path) -> None:
    model = tmp_path / "m.hkp"
    save_model(MeanShape().fit(np.zeros((2, 32, 32), np.uint8), np.full((2, 3, 2), 15.5)), model)
    with pytest.raises(InputError, match="--finder"):
        predict_film(model, film_file, tmp_path / "out")


def test_procedural_films_are_one_group_and_move_smoothly() -> None:
    film = make_film(40, (96, 128), random_state=2, away=(10, 20))
    assert len(set(film.groups)) == 1
    assert [i.track for i in film.samples[12].instances] == [1]
    xy = np.stack([s.instances[-1].xy for s in film])
    assert 0 < np.abs(np.diff(xy, axis=0)).max() < 6
    again = make_film(6, (96, 128), random_state=2)
    np.testing.assert_array_equal(film.samples[5].image, again.samples[5].image)
    with pytest.raises(InputError, match="n_faces"):
        make_film(3, n_faces=9)


# --------------------------------------------------------------------------------------------
# a few frames late
# --------------------------------------------------------------------------------------------


def test_what_comes_late_is_calm_and_as_good() -> None:
    film, tracks = Film2(70), {}
    for lag in (0, 2):
        tracker = Tracker(Sees(noise=0.8), lag=lag)
        rows = run(tracker, film)
        assert all(row == {} for row in rows[:lag])
        rows = rows[lag:] + [{i.track: i.xy for i in found} for found in tracker.finish()]
        assert len(rows) == 70 and tracker.finish() == []
        number = nearest(rows[0], film.middle[0, 0])
        tracks[lag] = (
            np.diff(np.stack([r[number] for r in rows]), 2, axis=0).std(),
            errors(rows, film, 0, number).mean(),
        )
    assert tracks[2][0] < 0.7 * tracks[0][0] and tracks[2][1] < tracks[0][1]


def test_a_late_tracker_keeps_who_is_who_through_an_absence() -> None:
    film = Film2(60, away=(20, 32))
    tracker = Tracker(Sees(), find_every=10, lag=3)
    rows = run(tracker, film)[3:] + [{i.track: i.xy for i in found} for found in tracker.finish()]
    assert all(len(row) == 1 for row in rows[24:32]) and all(len(row) == 2 for row in rows[37:])
    for t in (10, 19, 40, 59):
        number = nearest(rows[t], film.middle[t, 0])
        assert np.abs(rows[t][number] - film.middle[t, 0] - ARMS).max() < 0.6, "a frame too late would show"
    with pytest.raises(InputError, match="lag"):
        tracker.get_state()


def test_late_points_are_those_of_the_whole_smoother() -> None:
    rng = np.random.default_rng(0)
    xy, variance = np.cumsum(rng.normal(1, 0.5, (30, 2, 2)), 0), rng.uniform(0.5, 2, (30, 2))
    late = Delayed(xy[0], variance[0], 30.0, lag=4)
    for t in range(1, 30):
        late.add(1.0, 30.0, xy[t], variance[t])
    whole, _ = smooth_points(xy, variance, 30.0)
    for n in (0, 2, 4):
        np.testing.assert_allclose(late.ago(n), whole[29 - n], atol=1e-9)
    assert late.ago(5) is None
