"""The classroom in a real browser: Debian's Chromium, driven by Playwright; skipped where one is missing."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import classroom_room
import cv2
import numpy as np
import pytest

from hybridkp import InputError
from hybridkp.classroom import NEAR, find_web, serve, write_page
from hybridkp.classroom.altering import (
    COVER,
    NOISE_UNIT,
    SLIDERS,
    altered,
    checked_knobs,
    noise_table,
    placed,
)
from hybridkp.classroom.page import CELL, LEVELS
from hybridkp.imaging import gaussian_pyramid, hog_histograms

playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'hybridkp[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
IDLE = "body[data-busy=no]"
LAPTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        running = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE_CAMERA])
        yield running
        running.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(classroom_room.room()) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def _open(browser: Any, url: str, **options: Any) -> Any:
    """The page once it has answered; what goes wrong in it, or is asked of others, is in ``page.faults``."""
    context = browser.new_context(viewport=LAPTOP, device_scale_factor=1, **options)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.faults.append(message.text))
    own = (url, "data:", "blob:", "file:")
    page.on("request", lambda asked: asked.url.startswith(own) or page.faults.append(asked.url))
    page.goto(url)
    page.wait_for_selector(IDLE)
    return page


@pytest.fixture
def page(browser, url) -> Iterator[Any]:
    opened = _open(browser, url)
    yield opened
    opened.context.close()


def _idle(page: Any) -> dict[str, Any]:
    """What is shown, once the newest state is answered."""
    page.wait_for_timeout(30)
    page.wait_for_selector(IDLE)
    found: dict[str, Any] = page.evaluate(
        "({state: shown.state, truth: shown.truth, models: shown.models, crop: Array.from(shown.pixels)})"
    )
    return found


def _off(shown: dict[str, Any]) -> float:
    """How far the shown points are from what Python's detectors say of Python's crop, px."""
    room, state = classroom_room.room(), shown["state"]
    plate, knobs = room.plates[state["picture"]], checked_knobs(state["knobs"])
    crop = altered(plate.image, knobs, placed(plate.xy, len(plate.image), knobs)[state["landmark"]])
    detectors = {m.name: m.detector for m in room.models.models}
    assert [m["name"] for m in shown["models"]] == state["models"]
    said = [np.array(m["stages"][-1]["xy"]) for m in shown["models"]]
    own = [detectors[name].predict(crop[None])[0] for name in state["models"]]
    return float(np.abs(np.stack(said) - np.stack(own)).max())


def _every_slider(page: Any) -> None:
    for slider in SLIDERS:
        before = _idle(page)
        page.focus(f"#knob-{slider.key}")
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowRight")
        shown = _idle(page)
        value = shown["state"]["knobs"][slider.key]
        assert value > before["state"]["knobs"][slider.key] and slider.low < value <= slider.high
        assert shown["crop"] != before["crop"], slider.key
        assert page.inner_text(f"output[for=knob-{slider.key}]").startswith(f"{value:g}"[:3])
        assert _off(shown) < NEAR, slider.key
    page.click("#reset")
    assert _idle(page)["state"]["knobs"] == checked_knobs({})


# --------------------------------------------------------------------------------------------


def test_the_script_s_arithmetic_is_python_s(page) -> None:
    plate = classroom_room.room().plates["0"].image
    for moved in (
        {},
        {"scale": 1.34, "rotation": 23},
        {"right": 7, "blur": 1.7},
        {"noise": 33, "occlusion": 20},
    ):
        knobs, at = checked_knobs(moved), [20.3, 41.9]
        given = [
            plate.ravel().tolist(),
            len(plate),
            knobs,
            at,
            noise_table(64).ravel().tolist(),
            NOISE_UNIT,
            COVER,
        ]
        found = np.array(page.evaluate("a => Array.from(Core.altered(...a))", given)).reshape(64, 64, 3)
        apart = np.abs(found - altered(plate, knobs, at).astype(int))
        assert apart.max() <= 1 and (apart > 0).mean() < 1e-3
        points = [[3.5, 4.0], None, [100.0, 70.25]]
        there = page.evaluate("a => Core.placed(...a)", [points, len(plate), knobs])
        assert there[1] is None
        np.testing.assert_allclose(there[::2], placed([p for p in points if p], len(plate), knobs), atol=1e-9)
    crop = np.ascontiguousarray(plate[32:96, 32:96])
    grey = page.evaluate("a => Array.from(Core.grey(a))", crop.ravel().tolist())
    np.testing.assert_array_equal(np.reshape(grey, (64, 64)), cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY))
    call = (
        "a => Core.pyramid(...a).map(l => [l.side, Array.from(l.values), Core.hog(l.values, l.side, a[3])])"
    )
    found = page.evaluate(call, [grey, 64, LEVELS, CELL])
    levels = gaussian_pyramid(crop, LEVELS).levels
    assert [side for side, _, _ in found] == [level.shape[0] for level in levels] == [64, 32, 16, 8]
    for (side, values, cells), level in zip(found, levels, strict=True):
        np.testing.assert_allclose(np.reshape(values, (side, side)), level, atol=2e-3)
        expected = hog_histograms(np.floor(np.reshape(values, (side, side)) + 0.5).astype(np.uint8), CELL)
        np.testing.assert_allclose(cells, expected, atol=1e-6)


def test_points_are_python_s_after_every_slider(page) -> None:
    _every_slider(page)
    assert not page.faults


def test_what_is_chosen_is_shown(page) -> None:
    page.check("input[name=picture][value='2']")
    page.select_option("#model0", "hog+ridge")
    page.select_option("#landmark", "7")
    shown = _idle(page)
    assert (shown["state"]["picture"], shown["state"]["landmark"]) == ("2", 7)
    assert shown["state"]["models"] == ["hog+ridge", "heatmap", "average"] and _off(shown) < NEAR
    assert page.inner_text("#say0 .all").endswith("%") and "hog+ridge" in page.inner_text("#status")
    page.select_option("#model0", "sdm")
    shown = _idle(page)
    x, y = shown["models"][0]["stages"][-1]["xy"][12]
    side = page.locator("#say0 canvas").bounding_box()["width"]
    page.click("#say0 canvas", position={"x": (x + 0.5) * side / 64, "y": (y + 0.5) * side / 64})
    assert _idle(page)["state"]["landmark"] == 12 and page.input_value("#landmark") == "12"
    assert not page.faults


def test_stages_and_levels_are_walked_through(page) -> None:
    last = page.inner_text("#say0 .own")
    page.focus("#stage")
    page.keyboard.press("Home")
    assert page.inner_text("#say0 .stage") == "0 of 5: start" and page.inner_text("#say0 .own") != last
    page.keyboard.press("End")
    assert page.inner_text("#say0 .stage").startswith("5 of 5") and page.inner_text("#say0 .own") == last
    page.focus("#pyramid")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "16 × 16 px" in page.inner_text("#level-words") and "2 × 2 cells" in page.inner_text("#hog-words")


def test_points_are_painted_where_they_are(page) -> None:
    """A picture of the page by its pixels: yellow at the points, blue at the truth."""
    page.select_option("#landmark", "0")
    shown = _idle(page)
    data = page.locator("#say0 canvas").screenshot()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)

    def far(points: Any, colour: list[int]) -> float:
        """From a point to the middle of what has that colour around it, px of the crop, in the middle."""
        rows, columns = np.nonzero((np.abs(image - colour) < 40).all(2))
        painted, at = np.column_stack([columns, rows]), (np.array(points) + 0.5) * len(image) / 64 - 0.5
        around = [painted[np.linalg.norm(painted - p, axis=1) < 5] for p in at]
        off = [np.linalg.norm(a.mean(0) - p) for a, p in zip(around, at, strict=True) if len(a)]
        return float(np.median(off)) * 64 / len(image)

    assert far(shown["models"][0]["stages"][-1]["xy"], [40, 225, 255]) < 0.25, "half a px would show"
    assert far(shown["truth"], [255, 214, 0]) < 0.4, "rings, partly covered"


def test_a_curve_over_a_slider_is_drawn(page) -> None:
    page.select_option("#sweep-key", "noise")
    page.click("#sweep")
    page.wait_for_selector("#curve")
    assert page.locator("#curve polyline").count() == 3 and page.locator("#curve circle").count() == 39
    assert "Mean error over noise" in page.get_attribute("#curve", "aria-label")
    assert page.locator("#curve-key span").all_inner_texts() == ["sdm", "heatmap", "average"]


def test_a_picture_is_opened_and_another_dropped(page, tmp_path) -> None:
    sample = classroom_room.DATA.val.samples[1].image
    cv2.imwrite(str(tmp_path / "mine.png"), sample)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "mine.png")
    page.wait_for_selector("#part")
    shown = _idle(page)
    assert shown["state"]["picture"].startswith("own") and "mine.png" in page.inner_text("#own-words")
    assert page.inner_text("#say0 .all") == "–" and "judge by eye" in page.inner_text("#status")
    page.focus("#part-size")
    page.keyboard.press("PageDown")
    assert _idle(page)["crop"] != shown["crop"]

    page.evaluate(
        """async () => {
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 90;
          canvas.getContext("2d").fillRect(0, 0, 90, 90);
          const blob = await new Promise(done => canvas.toBlob(done)), data = new DataTransfer();
          data.items.add(new File([blob], "black.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }"""
    )
    page.wait_for_selector("#own-words:has-text('black.png')")
    assert not any(_idle(page)["crop"])
    page.set_input_files("#file", tmp_path / "bad.png")
    page.wait_for_selector("#complaint")
    assert "not a picture" in page.inner_text("#complaint")
    page.check("input[name=picture][value='0']")
    shown = _idle(page)
    assert page.is_hidden("#part") and page.is_hidden("#complaint") and _off(shown) < NEAR


def test_the_camera_is_watched_until_it_is_stopped(browser, url) -> None:
    page = _open(browser, url, permissions=["camera"])
    page.click("#camera")
    page.wait_for_selector("#part")
    first = _idle(page)["state"]["picture"]
    for _ in range(100):  # frame after frame
        page.wait_for_timeout(100)
        if page.evaluate("shown.state.picture") != first:
            break
    else:
        pytest.fail("one frame alone")
    page.click("#camera")
    page.wait_for_timeout(300)
    last = _idle(page)["state"]["picture"]
    page.wait_for_timeout(300)
    assert page.evaluate("shown.state.picture") == last and not page.faults
    page.context.close()


def test_everything_is_reached_by_keyboard_and_has_words(page) -> None:
    wanted = {f"knob-{s.key}" for s in SLIDERS} | {"stage", "pyramid", "landmark", "file", "camera", "reset"}
    wanted |= {"model0", "model1", "model2", "sweep", "sweep-key"}
    for _ in range(60):
        page.keyboard.press("Tab")
        wanted.discard(page.evaluate("document.activeElement.id"))
    assert not wanted
    for picture in page.locator("img, canvas, svg[role=img]").all():
        assert picture.get_attribute("alt") or picture.get_attribute("aria-label") not in (
            None,
            "",
            "not asked yet",
        )
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button')]"
        ".filter(e => !(e.labels && e.labels.length || e.getAttribute('aria-label') || e.textContent.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert not unnamed


def test_on_a_telephone_the_answers_stay_in_sight(page) -> None:
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.evaluate("document.getElementById('knob-noise').scrollIntoView({block: 'center'})")
    column, slider = (page.locator(s).bounding_box() for s in ("#say2 canvas", "#knob-noise"))
    assert 0 <= column["y"] < column["y"] + column["height"] < slider["y"] < PHONE["height"]
    assert column["width"] > 100 and slider["height"] >= 30, "large enough to see and to touch"


def test_by_night_and_without_motion(browser, url) -> None:
    page = _open(browser, url, color_scheme="dark", reduced_motion="reduce")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, paper[4:-1].split(","))) < 60
    assert page.evaluate("getComputedStyle(document.querySelector('#say0 .bar')).transitionDuration") == "0s"
    page.context.close()


def test_a_server_that_is_gone_is_told(page) -> None:
    page.route("**/state", lambda asked: asked.abort())
    page.focus("#knob-blur")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#complaint")
    assert "start `hybridkp classroom` again" in page.inner_text("#complaint")


# --------------------------------------------------------------------------------------------
# one file, without a server
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> str:
    pytest.importorskip("onnxruntime")
    web = os.environ.get("HYBRIDKP_ONNXRUNTIME_WEB", ".")
    try:
        find_web(web)
    except InputError as error:
        pytest.skip(f"{error} (tests: HYBRIDKP_ONNXRUNTIME_WEB)")
    path = tmp_path_factory.mktemp("page") / "classroom.html"
    made = write_page(classroom_room.room(), path, web)
    assert made.n_near >= 0.9 * made.n_asked and made.furthest_px < 0.3
    return path.as_uri()


def test_the_file_answers_by_itself(browser, written, tmp_path: Path) -> None:
    page = _open(browser, written)
    _every_slider(page)
    page.focus("#stage")
    page.keyboard.press("Home")
    assert page.inner_text("#say0 .stage") == "0 of 5: start"
    cv2.imwrite(str(tmp_path / "mine.png"), np.full((80, 120, 3), 77, np.uint8))
    page.set_input_files("#file", tmp_path / "mine.png")
    page.wait_for_selector("#part")
    assert set(_idle(page)["crop"]) == {77}
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "bad.png")
    page.wait_for_selector("#complaint")
    assert "no picture that this browser can read" in page.inner_text("#complaint")
    assert not page.faults, "and asks nobody"
    page.context.close()
