"""Actions from tracks: the body's frame, rows, the temporal network, tracks from files, the commands."""

from __future__ import annotations

import csv
import json
import zipfile

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from hybridkp import recipes
from hybridkp.actions import TrackRows, limbs_of, motion_of, motion_rows, track_batch
from hybridkp.actions.motion import bridged
from hybridkp.actions.rows import joints_of
from hybridkp.cli import main
from hybridkp.cli.actions_bench import view_notes
from hybridkp.datasets import load_tracks
from hybridkp.deep import TemporalNet
from hybridkp.evaluate import follow_film, predict_actions
from hybridkp.files import ClassPredictions, load_model, save_model
from hybridkp.multimodal import SenseClassifier
from hybridkp.runtime import Tracker
from hybridkp.structures import InputError

NAMES = ["left_hand", "right_hand", "left_foot", "right_foot", "head"]
FLIP = [1, 0, 3, 2, 4]
BODY = np.array([[-8.0, 0], [8, 0], [-4, 18], [4, 18], [0, -8]])


def acted(kind: str, n: int, seed: int) -> np.ndarray:
    """A body that waves both hands, walks on, or rests; somewhere, of some size."""
    rng = np.random.default_rng([seed, len(kind)])
    t = np.arange(n) / 4
    xy = np.tile(BODY, (n, 1, 1)) + rng.normal(0, 0.2, (n, 5, 2))
    if kind == "wave":
        xy[:, :2, 1] += 7 * np.sin(t + rng.uniform(0, 6))[:, None]
    if kind == "walk":
        xy[:, 2:4, 0] += 4 * np.sin(t + rng.uniform(0, 6))[:, None] * [1, -1]
        xy[..., 0] += 3 * t[:, None] * rng.choice([-1, 1])
    return xy * rng.uniform(0.5, 3) + rng.uniform(50, 300, 2)


def some(n: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    labels = np.array([("wave", "walk", "still")[i % 3] for i in range(n)])
    return [acted(kind, 20 + 3 * (i % 5), seed + i) for i, kind in enumerate(labels)], labels


def write_npz(path, n: int, seed: int = 0, **more) -> None:
    tracks, labels = some(n, seed)
    length = np.array([len(t) for t in tracks])
    arrays = {"xy": np.concatenate(tracks), "start": np.cumsum(length) - length, "length": length}
    arrays |= {"action": labels, "joints": np.array(NAMES), "view": np.array(["front", "back"] * n)[:n]}
    np.savez(path, **{**arrays, **more})


# --------------------------------------------------------------------------------------------
# motion and rows
# --------------------------------------------------------------------------------------------


def test_gaps_are_bridged_within_a_track_alone() -> None:
    nan = np.nan
    first = np.array([0, nan, 2, nan, 6, nan])
    second = np.array([nan, nan, 50.0])
    xy = np.concatenate([first, second])[:, None, None] * np.ones(2)
    got = bridged(xy, np.array([0, 6]))[:, 0, 0]
    np.testing.assert_allclose(got, [0, 1, 2, 4, 6, 6, 50, 50, 50])
    never = bridged(np.full((4, 1, 2), nan), np.array([0]))
    assert np.isnan(never).all()


def test_where_a_body_stands_and_how_large_it_is_changes_no_row() -> None:
    track = acted("walk", 31, 3)
    rows = TrackRows().fit([track])
    one, other = rows.transform([track, 2.5 * track + [700, -40]])
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    faster = rows.transform([track[::2]])[0]
    assert np.abs(faster - one).max() > 0.1, "twice as fast is another motion"


def test_a_mirror_image_is_its_motion_mirrored() -> None:
    track = acted("walk", 25, 1)
    mirrored = (track * [-1, 1] + [640, 0])[:, FLIP]
    one, other = motion_of([track]).mirrored(FLIP), motion_of([mirrored])
    np.testing.assert_allclose(one.body, other.body, atol=1e-9)
    np.testing.assert_allclose(one.middle, other.middle, atol=1e-9)


def test_limbs_join_all_landmarks_and_joints_lie_between_two() -> None:
    body = motion_of([acted("still", 20, 0)]).body
    limbs = limbs_of(body)
    assert limbs.shape == (4, 2) and set(limbs.ravel().tolist()) == set(range(5))
    joints = joints_of(np.array([[0, 1], [1, 2], [3, 2]]))
    assert sorted(map(tuple, joints.tolist())) == [(0, 1, 2), (1, 2, 3)]
    angles = np.zeros((1, 48, 5, 2))
    angles[..., :3, :] = [[1, 0], [0, 0], [0, 2]]
    straight = motion_of([np.array([[[0.0, 0], [5, 0], [10, 0]]] * 3)])
    rows = motion_rows(straight, np.array([[0, 1], [1, 2]]))
    assert np.isfinite(rows).all() and rows.shape[0] == 1


def test_a_point_that_is_never_seen_is_nan_in_its_own_columns() -> None:
    track = acted("wave", 22, 0)
    rows = TrackRows().fit([track])
    gone = track.copy()
    gone[:, 4] = np.nan
    nothing = np.full_like(track, np.nan)
    found = rows.transform([track, gone, nothing])
    assert np.isfinite(found[0]).all() and np.isnan(found[2]).all()
    assert 0 < np.isnan(found[1]).sum() < found.shape[1]


# --------------------------------------------------------------------------------------------
# classifiers
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taught() -> tuple:
    tracks, labels = some(36)
    net = TemporalNet(16, flip=FLIP).set_params(schedule__max_epochs=12, schedule__epoch_pictures=200)
    return net.fit(tracks, labels), SenseClassifier(inputs="track").fit(track_batch(tracks), labels)


def test_actions_of_new_tracks_are_named(taught, tmp_path) -> None:
    net, rows = taught
    tracks, labels = some(18, seed=500)
    batch = track_batch(tracks)
    for model in (net, rows):
        assert (model.predict(batch) == labels).mean() > 0.9
        probability, there = model.said(batch)
        assert there.all() and np.allclose(probability.sum(1), 1)
        save_model(model, tmp_path / "m.hkp")
        again = load_model(tmp_path / "m.hkp")
        np.testing.assert_array_equal(again.predict_proba(batch), probability)
        assert not hasattr(clone(model), "classes_")
    mirrored = [(t * [-1, 1] + [900, 0])[:, FLIP] for t in tracks]
    np.testing.assert_allclose(net.predict_proba(mirrored), net.predict_proba(tracks), atol=1e-5)
    nothing = track_batch([np.full((9, 5, 2), np.nan)])
    assert not net.said(nothing)[1].any() and not rows.said(nothing)[1].any()


def test_cross_validation_and_votes_take_tracks_as_they_are() -> None:
    tracks, labels = some(24)
    rule = recipes.make_classifier("average(svm,forest[n_estimators=20])", inputs=("track",))
    found = cross_val_predict(rule, track_batch(tracks), labels, cv=3)
    assert (found == labels).mean() > 0.9


def test_wrong_tracks_are_told(taught) -> None:
    net, rows = taught
    with pytest.raises(InputError, match=r"needs \(T, 5, 2\)"):
        net.predict([np.zeros((4, 6, 2))])
    with pytest.raises(InputError, match="infinite"):
        rows.predict(track_batch([np.full((4, 5, 2), np.inf)]))
    with pytest.raises(InputError, match="no tracks"):
        TemporalNet().fit([], [])
    with pytest.raises(InputError, match="flip"):
        TemporalNet(flip=[0, 0, 1, 2, 3]).fit(*some(6))
    with pytest.raises(InputError, match="one for each"):
        TemporalNet().fit(some(6)[0], ["a"])


# --------------------------------------------------------------------------------------------
# files and commands
# --------------------------------------------------------------------------------------------


def test_tracks_of_arrays(tmp_path) -> None:
    write_npz(tmp_path / "t.npz", 6)
    found = load_tracks(tmp_path / "t.npz")
    assert len(found) == 6 and found.labels[:2] == ("wave", "walk") and found.views[1] == "back"
    assert found.flip.tolist() == FLIP and len(set(found.groups)) == 6
    pieces = found.windows(10)
    assert {len(t) for t in pieces.tracks} == {10}
    assert pieces.first[:3] == (0, 5, 10) and pieces.names[:3] == (found.names[0],) * 3
    np.testing.assert_array_equal(pieces.tracks[1], found.tracks[0][5:15])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": np.array([0, 900, 1, 2, 3, 4])}, "not there"),
        ({"xy": np.zeros((3, 5))}, "do not fit"),
        ({"action": np.array(["a"])}, "action must be"),
        ({"start": np.array([0, np.nan, 1, 2, 3, 4])}, "not there"),
        ({"start": np.full(6, 2**62), "length": np.full(6, 2**62)}, "not there"),
        ({"start": np.full(6, 250, np.uint8), "length": np.full(6, 255, np.uint8)}, "not there"),
        ({"start": np.array(list("abcdef"))}, "no tracks can be read"),
        ({"action": np.array([{"a": 1}] * 6, object)}, r"no \.npz of plain arrays"),
    ],
)
def test_damaged_arrays_are_told(tmp_path, change, words) -> None:
    write_npz(tmp_path / "t.npz", 6, **change)
    with pytest.raises(InputError, match=words):
        load_tracks(tmp_path / "t.npz")


def test_a_header_that_numpy_cannot_parse_is_told(tmp_path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': ("
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as file:
        file.writestr("xy.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"no \.npz of plain arrays"):
        load_tracks(tmp_path / "t.npz")


@pytest.mark.parametrize("name", ["t.npz", "predictions.json", "tracks.csv", "t.txt", "nothing"])
def test_what_holds_no_tracks_is_told(tmp_path, name) -> None:
    if name != "nothing":
        (tmp_path / name).write_text("{}\n,,\n")
    with pytest.raises(InputError, match=r"\.|no such"):
        load_tracks(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no predictions"):
        load_tracks(tmp_path / "empty")


def test_a_followed_film_becomes_tracks_either_way(tmp_path) -> None:
    from test_tracking import Film2, Sees, write_film

    film = write_film(tmp_path / "two.mp4", list(Film2(60, away=(20, 30))))
    meta = {"landmarks": ["a", "b", "c"]}
    follow_film(Tracker(Sees()), film, tmp_path / "fly" / "one", meta=meta, overlays=False)
    coco = load_tracks(tmp_path / "fly" / "one" / "predictions.json")
    table = load_tracks(tmp_path / "fly" / "one" / "tracks.csv")
    assert len(coco) == len(table) == 2 and coco.landmarks == table.landmarks == ("a", "b", "c")
    assert coco.first == table.first
    for one, other in zip(coco.tracks, table.tracks, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert np.isnan(coco.tracks[0]).any() != np.isnan(coco.tracks[1]).any(), "one was away"
    assert sorted(map(len, coco.tracks)) == [60, 60]
    whole = load_tracks(tmp_path)
    assert whole.labels == ("fly", "fly") and set(whole.groups) == {"fly/one"}


def test_from_tracks_to_a_table_of_actions(tmp_path, capsys) -> None:
    write_npz(tmp_path / "train.npz", 24)
    write_npz(tmp_path / "val.npz", 12, seed=300)
    train, val, model = (str(tmp_path / name) for name in ("train.npz", "val.npz", "m.hkp"))
    out = str(tmp_path / "out")
    assert main(["actions", "bench", train, val, "--methods", "prior,svm", "--out", out]) == 0
    said = capsys.readouterr().out
    assert "| svm |" in said and "Right seen from back (6 tracks)" in said
    assert (tmp_path / "out" / "index.html").is_file()
    assert main(["actions", "train", train, "--method", "svm", "-o", model]) == 0
    assert main(["actions", "predict", model, val, "--window", "16", "-o", str(tmp_path / "a.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows[0].keys() == {"track", "first", "last", "action", "probability"}
    assert all(int(r["last"]) - int(r["first"]) == 15 for r in rows) and rows[1]["first"] == "4"
    right = dict(zip(load_tracks(val).names, load_tracks(val).labels, strict=True))
    assert np.mean([right[r["track"]] == r["action"] for r in rows]) > 0.8


def test_tracks_of_one_name_keep_their_own_views() -> None:
    said = ClassPredictions("svm", ("go", "stop"), ("go", "go"), ("a", "b"), ("walk", "walk"))
    assert view_notes([said], ("front", "back")) == [
        "Right seen from back (1 tracks): svm 0.0 %.",
        "Right seen from front (1 tracks): svm 100.0 %.",
    ]


def test_what_commands_of_actions_refuse(tmp_path, capsys) -> None:
    write_npz(tmp_path / "train.npz", 6)
    write_npz(tmp_path / "odd.npz", 6, joints=np.array(["x", *NAMES[1:]]))
    write_npz(tmp_path / "new.npz", 6, action=np.array(["jump"] * 6))
    (tmp_path / "plain.json").write_text(json.dumps({"a": 1}))
    train, out = str(tmp_path / "train.npz"), str(tmp_path / "out")
    for name, words in (("odd.npz", "landmarks"), ("new.npz", "jump")):
        assert main(["actions", "bench", train, str(tmp_path / name), "--methods", "svm", "--out", out]) == 2
        assert words in capsys.readouterr().err
    np.savez(tmp_path / "bare.npz", xy=np.ones((9, 5, 2)), start=[0], length=[9])
    assert main(["actions", "train", str(tmp_path / "bare.npz"), "-o", out]) == 2
    assert "has no action" in capsys.readouterr().err
    save_model(SenseClassifier(inputs="track"), tmp_path / "m.hkp")
    with pytest.raises(InputError, match="no classifier of tracks"):
        predict_actions(tmp_path / "m.hkp", load_tracks(train))
