"""The classroom: what the sliders do, what the page is told, its models on disk, its server, its file."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import classroom_room
import cv2
import numpy as np
import pytest
from scipy import ndimage

from hybridkp import InputError, cli
from hybridkp.classroom import Classroom, models, own_models, serve, small_models, write_page
from hybridkp.classroom.altering import COVER, SLIDERS, altered, checked_knobs, covered, cut_plate, placed
from hybridkp.classroom.graphs import staged_graph
from hybridkp.classroom.page import first_models, render
from hybridkp.classroom.server import MOST_BYTES
from hybridkp.classroom.writer import WEB
from hybridkp.evaluate import make_crops
from hybridkp.files import save_model
from hybridkp.landmarks import MeanShape, WithPresence
from hybridkp.structures import stages_of

#: px; OpenCV 4 interpolates in steps of 1/32 px, the graphs as OpenCV 5 does
ENGINES = 0.05 if cv2.__version__.startswith("4") else 1e-3
STATE = {"picture": "0", "models": ["sdm"], "landmark": 3, "knobs": {}}


@pytest.fixture(scope="module")
def room() -> Classroom:
    return classroom_room.room()


# --------------------------------------------------------------------------------------------
# sliders
# --------------------------------------------------------------------------------------------


def _plate(seed: int = 0) -> Any:
    noise = np.random.default_rng(seed).uniform(0, 255, (64, 64, 3))
    return np.rint(ndimage.gaussian_filter(noise, (2, 2, 0)) * 3 - 255).clip(0, 255).astype(np.uint8)


def test_an_untouched_plate_gives_the_crop_that_models_are_trained_on() -> None:
    sample = classroom_room.DATA.val.samples[0]
    plate, matrix = cut_plate(sample.image, sample.instances[0].box_xywh, 64, 1.25)
    crops = make_crops(classroom_room.DATA.val.subset([0]), size_hw=(64, 64))
    middle = altered(plate, checked_knobs({}))
    np.testing.assert_array_equal(middle, plate[32:96, 32:96])
    assert np.abs(middle.astype(int) - crops.images[0]).max() <= 1
    xy = sample.instances[0].xy @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(placed(xy, 128, checked_knobs({})), crops.xy[0], atol=1e-9)


MOVES = [
    {"scale": 1.4},
    {"scale": 0.7},
    {"rotation": 30},
    {"rotation": -50, "scale": 1.2},
    {"right": 12, "down": -7},
]


@pytest.mark.parametrize("moves", MOVES, ids=str)
def test_points_go_where_the_picture_goes(moves) -> None:
    knobs, at = checked_knobs(moves), np.array([70.3, 58.6])
    rows, columns = np.mgrid[:128, :128]
    blob = 255 * np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / (2 * 3.0**2))
    crop = altered(np.repeat(np.rint(blob).astype(np.uint8)[:, :, None], 3, 2), knobs)[:, :, 0].astype(float)
    found = ndimage.center_of_mass(crop)[::-1]
    np.testing.assert_allclose(found, placed(at, 128, knobs), atol=0.03)


def test_the_square_hides_what_it_says() -> None:
    plate, at = _plate(), np.array([10.2, 20.7])
    crop = altered(plate, checked_knobs({"occlusion": 25}), at)
    hidden = (crop == COVER).all(2)
    rows, columns = np.nonzero(hidden)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (7, 14, 17, 24)  # 8 of 32 px, around it
    np.testing.assert_allclose([columns.mean(), rows.mean()], at, atol=0.5)
    np.testing.assert_array_equal(crop[~hidden], plate[16:48, 16:48][~hidden])
    assert covered(32, 25, [np.nan, 3]).tolist() == covered(32, 25).tolist() == [[12, 20], [12, 20]]
    assert covered(32, 25, [-3, 100]).tolist() == [[0, 2], [32, 32]], "cut off at the border"


def test_blur_and_noise_are_as_strong_as_they_say() -> None:
    plate = _plate()
    soft = altered(plate, checked_knobs({"blur": 1.5})).astype(float)
    expected = ndimage.gaussian_filter(
        plate[16:48, 16:48].astype(float), (1.5, 1.5, 0), mode="nearest", truncate=3.4
    )
    assert np.abs(soft - expected).max() < 1
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = altered(grey, checked_knobs({"noise": 20})).astype(float) - 128
    assert abs(noisy.mean()) < 1.5 and abs(noisy.std() - 20) < 1
    again = altered(grey, checked_knobs({"noise": 20})).astype(float) - 128
    np.testing.assert_array_equal(noisy, again)


@pytest.mark.parametrize(
    "knobs",
    [{"wind": 1}, {"blur": "2"}, {"blur": True}, {"blur": float("nan")}, {"scale": 0}, {"noise": 10**400}],
)
def test_what_is_no_position_of_a_slider_is_refused(knobs) -> None:
    with pytest.raises(InputError):
        checked_knobs(knobs)


# --------------------------------------------------------------------------------------------
# what the page is told
# --------------------------------------------------------------------------------------------


def test_the_page_is_told_what_the_models_say(room) -> None:
    knobs = {"rotation": 10, "noise": 12, "occlusion": 20}
    for model in room.models.models:
        answer = room.answer({**STATE, "models": [model.name], "knobs": knobs})
        crop = np.frombuffer(base64.b64decode(answer["crop"]), np.uint8).reshape(1, 64, 64, 3)
        said = answer["models"][0]
        np.testing.assert_array_equal(said["stages"][-1]["xy"], model.detector.predict(crop)[0])
        assert [s["name"] for s in said["stages"]] == [
            s.name for s in stages_of(model.detector, crop, "points")
        ]
        plate = room.plates["0"]
        truth = placed(plate.xy, 128, checked_knobs(knobs))
        np.testing.assert_allclose(answer["truth"], truth)
        np.testing.assert_array_equal(crop[0], altered(plate.image, checked_knobs(knobs), truth[3]))
        json.dumps(answer, allow_nan=False)


def test_maps_and_voices_come_along_where_there_are_some(room) -> None:
    names = ["heatmap", "average", "hog+ridge"]
    net, vote, ridge = room.answer({**STATE, "models": names})["models"]
    assert net["map"]["kind"] == vote["map"]["kind"] == "response" and ridge["map"]["kind"] == "exact parts"
    values = np.frombuffer(base64.b64decode(net["map"]["values"]), np.uint8).reshape(net["map"]["size_hw"])
    assert values.max() == 255
    assert [v["name"].partition("[")[0] for v in vote["voices"]] == ["sdm", "heatmap"] and not net["voices"]


def test_one_model_of_each_kind_is_shown_at_first(room) -> None:
    assert first_models(room.models) == ["sdm", "heatmap", "average"]


def test_a_picture_of_ones_own_is_looked_at_in_a_square(room) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:200, 350:450] = 200
    name = room.take(image)
    answer = room.answer({**STATE, "picture": name, "part": [0.8, 0.5, 1 / 3]})
    crop = np.frombuffer(base64.b64decode(answer["crop"]), np.uint8).reshape(64, 64, 3)
    assert (crop[3:-3, 3:-3] == 200).all() and answer["truth"][0] is None and answer["length"] is None
    for _ in range(9):
        last = room.take(np.zeros((3, 4000), np.uint8))
    assert room.own[last].shape[1] == 1600, "large ones are made smaller"
    with pytest.raises(InputError, match="choose one again"):
        room.answer({**STATE, "picture": name})


@pytest.mark.parametrize(
    ("normalizer", "length", "words"),
    [
        (("pixel",), 1.0, "px of the picture"),
        (("points", 0, 1), None, "distance from"),
        (("box",), None, "side of the box"),
    ],
)
def test_errors_are_measured_as_the_data_say(room, normalizer, length, words) -> None:
    data = replace(classroom_room.DATA, normalizer=normalizer)
    other = Classroom(room.models, data)
    sample = next(s for s in data.val.samples if s.name == other.plates["0"].name)
    instance = sample.instances[0]
    if length is None:
        both = {
            "points": np.hypot(*(instance.xy[0] - instance.xy[1])),
            "box": np.sqrt(instance.box_xywh[2:].prod()),
        }
        length = both[normalizer[0]]
    scale = 64 / (1.25 * instance.box_xywh[2:].max())
    answer = other.answer({**STATE, "knobs": {"scale": 1.2}})
    assert answer["length"] == pytest.approx(length * scale * 1.2)
    assert words in render(other)


@pytest.mark.parametrize(
    "change",
    [
        {"picture": "99"},
        {"picture": ["0"]},
        {"models": ["nobody"]},
        {"models": [["sdm"]]},
        {"models": ["sdm"] * 4},
        {"models": "sdm"},
        {"landmark": 20},
        {"landmark": -1},
        {"landmark": True},
        {"landmark": 1.5},
        {"knobs": [1]},
        {"knobs": {"scale": None}},
    ],
    ids=str,
)
def test_a_state_that_cannot_be_is_refused(room, change) -> None:
    with pytest.raises(InputError):
        room.answer({**STATE, **change})
    with pytest.raises(InputError):
        room.answer([])  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------
# models on disk
# --------------------------------------------------------------------------------------------


def test_small_models_are_trained_once_and_kept(tmp_path, monkeypatch) -> None:
    data = replace(classroom_room.DATA, train=classroom_room.DATA.train.subset(range(12)))
    told: list[tuple[str, int, int]] = []

    def train(methods: tuple[str, ...]) -> models.Models:
        told.clear()
        return small_models(tmp_path, lambda *said: told.append(said), methods, data)

    first = train(("mean-shape", "hog+ridge"))
    assert [what for what, _, _ in told] == ["faces are drawn", "mean-shape", "hog+ridge", "trained"]
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 2 and all(name.endswith(".hkp") for name in kept)
    again = train(("mean-shape", "hog+ridge"))
    crop = np.full((1, 64, 64, 3), 90, np.uint8)
    for a, b in zip(first.models, again.models, strict=True):
        np.testing.assert_array_equal(a.detector.predict(crop), b.detector.predict(crop))
    assert not told and [m.family for m in again.models] == ["floor", "classical"]

    (tmp_path / kept[0]).write_bytes(b"PK damaged")
    (tmp_path / "sdm-0123456789ab.hkp").write_bytes(b"of another version")
    (tmp_path / "mine.hkp").write_bytes(b"a user's own")
    with pytest.warns(RuntimeWarning, match="trained again"):
        train(("mean-shape", "hog+ridge"))
    assert len(told) == 3, "one of two"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "mine.hkp"])


def test_a_training_that_is_stopped_goes_on(tmp_path, monkeypatch) -> None:
    data = replace(classroom_room.DATA, train=classroom_room.DATA.train.subset(range(12)))

    def stop(what: str, done: int, total: int) -> None:
        if what == "mean-shape":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_models(tmp_path, stop, ("hog+ridge", "mean-shape"), data)
    told: list[str] = []
    small_models(tmp_path, lambda what, *_: told.append(what), ("hog+ridge", "mean-shape"), data)
    assert told == ["faces are drawn", "mean-shape", "trained"]


def test_own_models_must_go_together(tmp_path, room) -> None:
    meta = {"landmarks": list(room.models.landmarks), "margin": 1.25, "method": "sdm"}
    detector = {m.name: m.detector for m in room.models.models}["sdm"]
    save_model(detector, tmp_path / "a.hkp", meta)
    save_model(detector, tmp_path / "b.hkp", {**meta, "landmarks": [f"p{i}" for i in range(20)]})
    save_model(detector, tmp_path / "c.hkp", {**meta, "method": "my own name"})
    save_model(MeanShape(), tmp_path / "d.hkp", meta)
    save_model(detector, tmp_path / "e.hkp", meta)
    save_model(detector, tmp_path / "f.hkp", {**meta, "landmarks": ["one"]})
    found = own_models([tmp_path / name for name in ("a.hkp", "c.hkp", "a.hkp", "e.hkp")])
    assert [m.name for m in found.models] == ["sdm", "my own name", f"sdm ({tmp_path / 'e.hkp'})"]
    assert [m.family for m in found.models] == ["classical", "other", "classical"]
    with pytest.raises(InputError, match="other landmarks"):
        own_models([tmp_path / "a.hkp", tmp_path / "b.hkp"])
    for name, words in {"d": "no trained detector", "f": "another number of points"}.items():
        with pytest.raises(InputError, match=words):
            own_models([tmp_path / f"{name}.hkp"])
    unknown = Classroom(own_models([tmp_path / "b.hkp"]), classroom_room.DATA)
    answer = unknown.answer(STATE)
    assert answer["length"] is None and answer["truth"][0] is None, "no truth under other names"


# --------------------------------------------------------------------------------------------
# the server
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(room):
    with serve(room) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _ask(
    server: Any, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path.replace("WORD", server.word), body, names)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def test_the_server_gives_the_page_and_answers(server, room) -> None:
    status, body, headers = _ask(server, "GET", "/WORD/")
    assert status == 200 and b"<h1>Classroom</h1>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http://" not in body.replace(b"http://www.w3.org", b""), "no other host"
    status, body, _ = _ask(server, "POST", "/WORD/state", json.dumps(STATE).encode())
    assert status == 200 and json.loads(body) == json.loads(json.dumps(room.answer(STATE)))
    png = cv2.imencode(".png", np.zeros((40, 50, 3), np.uint8))[1].tobytes()
    status, body, _ = _ask(server, "POST", "/WORD/picture", png)
    assert status == 200 and json.loads(body)["picture"] in room.own


REFUSED = [
    ("GET", "/", None, {}, 404),
    ("GET", "/wrong-word/", None, {}, 404),
    ("GET", "/WORD/../../etc/passwd", None, {}, 404),
    ("GET", "/WORD/", None, {"Host": "evil.example"}, 404),
    ("GET", "/WORD/", None, {"Host": "127.0.0.1.evil.example:80"}, 404),
    ("POST", "/WORD/state", b"{}", {"Origin": "http://evil.example"}, 404),
    ("POST", "/WORD/state", b"{}", {"Origin": "null"}, 404),
    ("POST", "/wrong/state", b"{}", {}, 404),
    ("POST", "/WORD/state", b"{", {}, 400),
    ("POST", "/WORD/state", b"[" * 60000, {}, 400),
    ("POST", "/WORD/state", b"\xff\xfe", {}, 400),
    ("POST", "/WORD/state", b'{"picture": "0", "knobs": {"blur": NaN}}', {}, 400),
    ("POST", "/WORD/state", b" " * (2**16 + 1), {}, 413),
    ("POST", "/WORD/picture", b"", {}, 400),
    ("POST", "/WORD/picture", b"<svg/>", {}, 400),
    ("POST", "/WORD/picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, {}, 400),
    ("POST", "/WORD/picture", b"", {"Content_Length": str(MOST_BYTES + 1)}, 413),
    ("POST", "/WORD/picture", b"", {"Content_Length": "9" * 5000}, 413),
    ("POST", "/WORD/picture", b"", {"Content_Length": "-1"}, 413),
    ("PUT", "/WORD/state", b"{}", {}, 501),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), REFUSED)
def test_strangers_and_nonsense_are_turned_away(server, method, path, body, headers, status) -> None:
    found, text, _ = _ask(server, method, path, body, **headers)
    assert found == status and b"Traceback" not in text
    assert _ask(server, "GET", "/WORD/")[0] == 200, "and the server goes on"


def test_a_tunnel_may_have_another_port(server) -> None:
    assert _ask(server, "GET", "/WORD/", Host="localhost:9999")[0] == 200


@pytest.mark.parametrize("port", [-1, 70000, "taken"])
def test_a_port_that_cannot_be_is_told(server, room, port) -> None:
    with pytest.raises(InputError, match="port"):
        serve(room, server.server_port if port == "taken" else port)


# --------------------------------------------------------------------------------------------
# the page without a server
# --------------------------------------------------------------------------------------------


def test_the_graph_tells_the_stages_and_the_maps(room) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    crop = room.plates["1"].image[32:96, 32:96]
    for model in room.models.models:
        judged = WithPresence(model.detector)  # as hybridkp train leaves it: only the scores are others
        judged.detector_, judged.size_hw_ = model.detector, model.detector.size_hw_
        judged.mean_ = model.detector.predict(crop[None])[0]
        judged.weights_, judged.offset_ = np.zeros(16 * 8 + 5), 0.0
        for detector in (model.detector, judged):
            graph, names = staged_graph(detector)
            out = onnxruntime.InferenceSession(graph)
            planes = np.moveaxis(crop, 2, 0)[None].astype(np.float32)
            said = out.run(None, {"image": planes})
            found = dict(zip([o.name for o in out.get_outputs()], said, strict=True))
            stages = stages_of(detector, crop[None], "points")
            assert names == [s.name for s in stages]
            for n, stage in enumerate(stages):
                off = np.abs(found["stages"][n] - stage.xy[0])
                assert np.median(off) < ENGINES and off.max() < 0.3, (
                    "a place on the edge of two pixels may tip over"
                )
            score = detector.predict_with_score(crop[None])[1][0]
            assert np.median(np.abs(found["score"] - score)) < 0.02
            if model.name == "heatmap":
                maps = model.detector.score_maps(crop[None], stride=2)[0]
                np.testing.assert_allclose(found["maps"], maps, atol=1e-4)


def test_the_page_is_written_whole_and_says_how_it_agrees(room, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("hybridkp.classroom.writer.ASKED", 3)
    (tmp_path / "dist").mkdir()
    for name in WEB:
        (tmp_path / "dist" / name).write_bytes(b"stands for npm's file")
    made = write_page(room, tmp_path / "page.html", tmp_path)
    html = made.path.read_text(encoding="utf-8")
    assert made.n_bytes == made.path.stat().st_size and made.n_asked == 3 * 3 * len(room.models.models)
    assert f"{made.n_near} of {made.n_asked} answers" in html and "DecompressionStream" in html
    assert made.n_near >= (0 if ENGINES == 0.05 else 0.9 * made.n_asked) and made.furthest_px < 0.5
    with pytest.raises(InputError, match=r"classroom\.html"):
        write_page(room, tmp_path / "dist" / WEB[0] / "classroom.html", tmp_path)


def test_the_command_serves_a_user_s_models(room, tmp_path, monkeypatch, capsys) -> None:
    meta = {"landmarks": list(room.models.landmarks), "method": "hog+ridge"}
    save_model(room.models.models[-1].detector, tmp_path / "mine.hkp", meta)

    def until_stopped(server: Any) -> None:
        assert [m.name for m in server.classroom.models.models] == ["hog+ridge"]
        assert b"Small models on drawn faces" not in server.page
        raise KeyboardInterrupt

    monkeypatch.setattr("hybridkp.classroom.server.Server.serve_forever", until_stopped)
    assert cli.main(["classroom", str(tmp_path / "mine.hkp"), "--pictures", "1", "--no-open"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("http://127.0.0.1:") and "closed" in said.err


def test_without_the_browser_s_engine_the_cure_is_told(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["classroom", "-o", "page.html", "--cache", str(tmp_path)]) == 2
    assert "npm install onnxruntime-web" in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir()), "nothing was trained before"


def test_every_slider_has_a_place_to_begin_within_its_range() -> None:
    assert all(s.low <= s.start <= s.high and s.step > 0 for s in SLIDERS)
    assert checked_knobs({}) == {s.key: s.start for s in SLIDERS}
