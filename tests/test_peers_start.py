"""Others' points as a start: a program and its protocol, stored predictions, the map to one's own."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hybridkp.evaluate import make_crops
from hybridkp.evaluate.ready_made import untimed
from hybridkp.files import load_model, save_model, save_predictions
from hybridkp.fusion import LinearMap
from hybridkp.imaging.crops import to_picture
from hybridkp.peers import ProgramPoints, StoredPoints
from hybridkp.recipes import make_method
from hybridkp.structures import Batch, Dataset, InputError, Instance, Sample

#: answers with its picture's size as two points, and nothing for a blank one
PROGRAM = """
import json, sys
import cv2
print("a banner that is no answer", flush=True)
for line in sys.stdin:
    image = cv2.imread(json.loads(line)["file"])
    h, w = image.shape[:2]
    points = None if image.max() == 0 else [[w - 1, 0], [0, h - 1, 0.25], None]
    print(json.dumps({"points": points}), flush=True)
"""


def _command(folder: Path, text: str) -> str:
    path = folder / "theirs.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def _data(n=60, k=24, side=96):
    """Noise, and a shape turned, scaled and bent: all that a map of points can see."""
    rng = np.random.default_rng(5)
    base, samples = rng.uniform(-0.35, 0.35, (k, 2)), []
    bends = rng.normal(0, 0.02, (3, k, 2))
    for i in range(n):
        turn, size = rng.normal(0, 0.15), side * rng.uniform(0.8, 1.1)
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        xy = (base + np.tensordot(rng.normal(size=3), bends, 1)) @ spin * size + side / 2
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        one = Instance(xy, box_xywh=[side * 0.1, side * 0.1, side * 0.8, side * 0.8])
        samples.append(Sample(f"{i}.png", partial(np.asarray, image), (one,), str(i), (side, side)))
    return Dataset("bent", tuple(f"p{i}" for i in range(k)), tuple(samples))


@pytest.fixture(scope="module")
def crops():
    return make_crops(_data(), (96, 96))


def _theirs(truth, shift=0.5, jitter=0.0):
    """A peer of another scheme: half of the landmarks in another order, middles of some, an offset."""
    rng = np.random.default_rng(0)
    k = truth.shape[1]
    own = truth[:, rng.permutation(k)[: k // 2]]
    between = (truth[:, : k // 4] + truth[:, 3 : k // 4 + 3]) / 2
    points = np.concatenate([own, between], axis=1) + shift
    return points + jitter * rng.normal(size=points.shape)


def test_a_program_is_asked_by_its_protocol(tmp_path):
    images = np.full((3, 20, 30, 3), 9, np.uint8)
    images[1] = 0
    peer = ProgramPoints(_command(tmp_path, PROGRAM)).ready(images)
    xy, score = peer.points(images)
    lost = np.full((3, 2), np.nan)
    np.testing.assert_array_equal(
        xy, [[[29, 0], [0, 19], [np.nan] * 2], lost, [[29, 0], [0, 19], [np.nan] * 2]]
    )
    np.testing.assert_array_equal(score, [[1, 0.25, 0], [0, 0, 0], [1, 0.25, 0]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys; sys.stderr.write('no GPU here'); sys.exit(3)", "exit code 3.*no GPU here"),
        ("print('{not json', flush=True)\ninput()", "no JSON"),
        ("input()\nprint('{\"points\": 5}', flush=True)\ninput()", "points"),
        ("input()\nprint('{\"points\": [[1, 2], [3]]}', flush=True)\ninput()", "no points"),
        ("input()\nprint('{\"points\": [[1' + '0' * 400 + ', 2]]}', flush=True)\ninput()", "no points"),
        ("import time\ntime.sleep(30)", "no answer in 0.5 s"),
        (
            "import time\nwhile 1:\n print('at work', flush=True)\n time.sleep(0.2)",
            "no answer in 0.5 s",
        ),
    ],
)
def test_a_program_that_fails_is_named(text, told, tmp_path):
    images = np.zeros((1, 20, 20, 3), np.uint8)
    peer = ProgramPoints(_command(tmp_path, text), timeout=0.5 if "sleep" in text else 60)
    with pytest.raises(InputError, match=f"(?s)theirs.py.*{told}"):
        peer.ready(images).points(images)


def test_a_command_that_is_none_is_named():
    with pytest.raises(InputError, match="cannot be started"):
        ProgramPoints("/no/such/program").ready(np.zeros((1, 9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="give the command"):
        ProgramPoints().ready(np.zeros((1, 9, 9, 3), np.uint8))


def test_no_model_file_starts_a_program(tmp_path, crops):
    """Neither the file itself nor one in which it sits deeper; your word for it lets it run."""
    mark = tmp_path / "ran"
    command = _command(tmp_path, f"open({str(mark)!r}, 'w').close()\n{PROGRAM}")
    peer = ProgramPoints(command, take=(0, 1)).fit(crops.images[:4], crops.xy[:4, :2])
    save_model(peer, tmp_path / "peer.hkp")
    save_model(make_method(f"program[command={json.dumps(command)}]:linear"), tmp_path / "chain.hkp")
    mark.unlink()
    for name in ("peer.hkp", "chain.hkp"):
        with pytest.raises(InputError, match="runs a program"):
            load_model(tmp_path / name)
    assert not mark.exists()
    again = load_model(tmp_path / "peer.hkp", trusted=[ProgramPoints])
    np.testing.assert_array_equal(again.predict(crops.images[:2]), peer.predict(crops.images[:2]))


class _Given(StoredPoints):
    """Points that stand in the picture's corner: the row of a table."""

    def __init__(self, table=None, take=None):
        self.table, self.take = table, take

    def ready(self, images):
        self.size_hw_ = images.shape[1:3]
        return self

    def points(self, images):
        rows = np.asarray(images[:, 0, 0], int) @ [1, 256, 65536]
        return self.table[rows].astype(np.float32), np.ones(self.table.shape[:2])[rows]


def _numbered(crops):
    images = crops.images.copy()
    images[:, 0, 0] = np.array([[i % 256, i // 256, 0] for i in range(len(images))])
    return images


@pytest.mark.parametrize("shift", [(0.5, 0.5), (-0.5, 0.25)])
def test_an_offset_is_found_and_undone(shift, crops):
    """Half a pixel is found to 0.05 px under jitter, and the map does not carry it on."""
    images, table = _numbered(crops), _theirs(crops.xy, np.array(shift), jitter=0.3)
    with pytest.warns(UserWarning, match="px of the crop from the labels"):
        found = LinearMap(_Given(table)).fit(images, crops.xy)
    np.testing.assert_allclose(found.offset_px_, shift, atol=0.05)
    exact = LinearMap(_Given(_theirs(crops.xy, np.array(shift))), alpha=1e-6)
    with pytest.warns(UserWarning, match="linear undoes it"):
        off = exact.fit(images, crops.xy).predict(images) - crops.xy
    assert np.abs(np.nanmedian(off, axis=(0, 1))).max() < 0.05


def test_one_shared_point_says_no_offset_for_sure(crops, recwarn):
    """A single point has no spread: what it says has no standard error, and accuses nobody."""
    xy = crops.xy[:, :1]
    found = LinearMap(_Given(xy + 0.5)).fit(_numbered(crops), xy)
    assert found.n_shared_ == 1 and np.isnan(found.offset_error_px_)
    assert not [w for w in recwarn if "from the labels" in str(w.message)]


def test_a_peer_of_no_offset_is_not_accused(crops, recwarn):
    LinearMap(_Given(_theirs(crops.xy, 0.0, jitter=0.3))).fit(_numbered(crops), crops.xy)
    assert not [w for w in recwarn if "offset" in str(w.message) or "from the labels" in str(w.message)]


def test_what_a_peer_lacks(crops):
    """Points that are missing are bridged; an object without any gets the mean, and no confidence."""
    table = _theirs(crops.xy, 0.0)
    table[0], table[1, ::3] = np.nan, np.nan
    model = LinearMap(_Given(table)).fit(_numbered(crops), crops.xy)
    xy, score = model.predict_with_score(_numbered(crops))
    np.testing.assert_allclose(xy[0], np.nanmean(crops.xy, 0), atol=1e-4)
    assert (score[0] == 0).all() and (score[1] > 0).all() and np.isfinite(xy).all()


def test_stored_predictions_are_looked_up(tmp_path):
    """Two objects were found in each picture, in another order of pictures; and predictions of ours."""
    data = _data(12)
    results = [
        {"file_name": s.name, "score": 0.9, "keypoints": np.c_[p, np.ones(len(p))].ravel().tolist()}
        for s in reversed(data.samples)
        for i in s.instances
        for p in (_theirs(i.xy[None], 0.0)[0], _theirs(i.xy[None] + 5000, 0.0)[0])
    ]
    (tmp_path / "theirs.json").write_text(json.dumps(results))
    peer = StoredPoints(str(tmp_path / "theirs.json"))
    crops = make_crops(data, (64, 64), modalities=("image", "object"))
    given, _ = peer.ready(crops.batch).points(crops.batch)
    np.testing.assert_allclose(given, _theirs(crops.xy, 0.0), atol=1e-3)
    with pytest.raises(InputError, match="program"):
        peer.points(crops.images)
    mirrored = Batch({"image": crops.images[:, :, ::-1], "object": crops.batch["object"]})
    with pytest.raises(InputError, match="mirrored"):
        peer.points(mirrored)
    expression = f'predictions[file="{tmp_path / "theirs.json"}"]:linear'
    model = make_method(expression).fit(crops.batch[:8], crops.xy[:8])
    xy, score = model.predict_with_score(crops.batch[8:])
    assert np.median(np.linalg.norm(xy - crops.xy[8:], axis=2)) < 0.02 * 64
    kept = untimed(
        "theirs", to_picture(crops.matrix[8:], xy), score, crops.names[8:], crops.instance[8:], data, {}
    )
    save_predictions(kept, tmp_path / "ours.safetensors")
    again, _ = StoredPoints(str(tmp_path / "ours.safetensors")).ready(crops.batch).points(crops.batch)
    assert np.isnan(again[:8]).all()
    np.testing.assert_allclose(again[8:], xy, atol=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", "[]", '[{"file_name": "a", "keypoints": [1, 2]}]', '[{"keypoints": "x"}]'),
        '{"images": 5, "annotations": []}',
        f'[{{"image_id": 1, "keypoints": [1{"0" * 400}, 2, 1]}}]',
    ],
)
def test_a_bad_file_of_predictions_is_named(text, tmp_path):
    (tmp_path / "theirs.json").write_text(text)
    with pytest.raises(InputError, match=r"theirs\.json"):
        StoredPoints(str(tmp_path / "theirs.json")).ready(np.zeros((1, 9, 9, 3), np.uint8))
