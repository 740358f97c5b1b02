"""What threads share and processes are sent: the same points as one thread alone finds."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import cv2
import numpy as np
import pytest
from every_part import FILES

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.deep import CNNRefiner, DirectNet, HeatmapNet
from hybridkp.files import graphs
from hybridkp.fusion import Refined
from hybridkp.landmarks import CascadedRegressor, HolisticRegressor
from hybridkp.memory.resident import peak_bytes, reset_peak
from hybridkp.points import NetFeature
from hybridkp.structures import InputError

PROBLEM = make_problem(16)
HELD_OUT = make_problem(6, random_state=1).images
SMALL = {"max_epochs": 1, "epoch_pictures": 16, "device": "cpu"}
KINDS: dict[str, Callable[[], Any]] = {
    "cascade": CascadedRegressor,
    "network": lambda: HeatmapNet(input_px=64, schedule=HeatmapNet.default_schedule(**SMALL)),
    "refiner": lambda: Refined(
        HolisticRegressor(), CNNRefiner(96, schedule=CNNRefiner.default_schedule(**SMALL)), cv=2
    ),
}
CALLS = 60  #: of each of two threads
ENGINES = [
    "cv2.dnn",
    pytest.param(
        "onnxruntime",
        marks=pytest.mark.skipif(graphs.engine_used("auto") == "cv2.dnn", reason="ONNX Runtime is absent"),
    ),
]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    p = PROBLEM
    return {k: make().fit(p.images, p.xy, groups=p.groups, flip=p.flip) for k, make in KINDS.items()}


@pytest.fixture(scope="module")
def exported(fitted: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, names = tmp_path_factory.mktemp("exported"), [f"p{i}" for i in range(5)]
    return {
        kind: runtime.export_runtime(model, folder / f"{kind}.hkr", {"method": kind, "landmarks": names})
        for kind, model in fitted.items()
    }


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def in_two_threads(ask: Callable[[int], Any], calls: int) -> list[Any]:
    """``ask(i)`` for i below ``calls``, even ones in one thread, odd ones at the same time in another."""
    ready = Barrier(2)

    def work(first: int) -> list[Any]:
        found = []
        for i in range(first, calls, 2):
            ready.wait(30)
            found.append(ask(i))
        return found

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(work, (0, 1))
    return [(one, two)[i % 2][i // 2] for i in range(calls)]


def answers(detector: Any, images: Sequence[Any] = HELD_OUT) -> np.ndarray:
    return np.stack([detector.detect(image).xy for image in images])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_two_threads_share_a_detector(exported: dict[str, Path], kind: str, engine: str) -> None:
    detector = runtime.load(exported[kind], engine)
    alone = answers(detector)
    assert len(np.unique(alone.reshape(len(alone), -1), axis=0)) == len(alone), "mixed up, it would not show"
    found = in_two_threads(lambda i: detector.detect(HELD_OUT[i % len(HELD_OUT)]).xy, 2 * CALLS)
    np.testing.assert_array_equal(found, alone[np.arange(2 * CALLS) % len(alone)])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_whole_and_share_nothing(exported: dict[str, Path], kind: str, engine: str) -> None:
    detector = runtime.load(exported[kind], engine)
    alone = answers(detector)
    for twin in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert twin is not detector and twin._run is not detector._run and twin.meta is not detector.meta
        twin.meta["margin"] = 9.0
        twin._run = None  # what it does to itself
        np.testing.assert_array_equal(answers(detector), alone)
    again = pickle.loads(pickle.dumps(copy.deepcopy(detector)))
    np.testing.assert_array_equal(answers(again), alone)
    assert again.meta == detector.meta and again.size_hw == detector.size_hw and repr(again) == repr(detector)


def test_a_pickle_is_read_as_carefully_as_a_file(exported: dict[str, Path]) -> None:
    rebuild, (data, engine, path) = runtime.load(exported["network"]).__reduce__()
    with pytest.raises(InputError, match=r"network\.hkr: not a hybridkp runtime file"):
        rebuild(data[: len(data) // 2], engine, path)


def test_a_detector_says_what_it_is(exported: dict[str, Path]) -> None:
    known = runtime.load(exported["network"], "cv2.dnn")
    assert repr(known) == "RuntimeDetector(network, 5 landmarks, crops of 64 x 64 px, on cv2.dnn)"
    assert repr(runtime.load(exported["cascade"])).endswith("on NumPy)")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a peak cannot be reset")
def test_20_000_calls_leave_nothing_behind(tmp_path: Path) -> None:
    """One object after the other, as a camera gives them: memory stays that of the first thousand."""
    images = [cv2.resize(image, (32, 32)) for image in PROBLEM.images]
    net = DirectNet(input_px=32, schedule=DirectNet.default_schedule(**SMALL))
    path = runtime.export_runtime(net.fit(np.stack(images), PROBLEM.xy / 2), tmp_path / "net.hkr")
    detector, image = runtime.load(path), HELD_OUT[0]
    for i in range(20_000):
        detector.detect(image, (4 + i % 7, 5, 40, 44))
        if i == 1_000:
            reset_peak()
            before = peak_bytes()
    assert peak_bytes() - before < 5e6


INHERITED: dict[str, Any] = {}  #: what a forked process finds here


def ask_inherited(name: str) -> np.ndarray:
    return answers(INHERITED[name])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_forked_process_may_ask_what_it_inherits(exported: dict[str, Path], engine: str) -> None:
    """Also where another thread was asking, and so held the lock, while it forked."""
    detector = INHERITED["net"] = runtime.load(exported["network"], engine)
    alone = answers(detector)
    with ThreadPoolExecutor(1) as pool, ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as forked:
        asking = pool.submit(lambda: [answers(detector) for _ in range(40)])
        np.testing.assert_array_equal(forked.submit(ask_inherited, "net").result(60), alone)
        np.testing.assert_array_equal(forked.submit(answers, detector).result(60), alone)
        np.testing.assert_array_equal(asking.result(60)[-1], alone)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["loky", "spawn"])
def test_other_processes_are_sent_a_detector(exported: dict[str, Path], how: str, engine: str) -> None:
    from joblib.externals.loky import ProcessPoolExecutor as Loky

    detector = runtime.load(exported["network"], engine)
    pool: Any = Loky(1) if how == "loky" else ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with pool:
        found = pool.submit(runtime.RuntimeDetector.predict_with_score, detector, HELD_OUT).result(100)
    np.testing.assert_array_equal(found[0], detector.predict_with_score(HELD_OUT)[0])


# --------------------------------------------------------------------------------------------
# interest points, and estimators
# --------------------------------------------------------------------------------------------


def _texture(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    drawn = cv2.GaussianBlur(rng.uniform(0, 255, (120, 160)), (0, 0), 2)
    return cv2.normalize(drawn, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.usefixtures("impatient", "one_torch_thread")
@pytest.mark.parametrize("kind", KINDS)
def test_two_threads_share_an_estimator(fitted: dict[str, Any], kind: str) -> None:
    model = fitted[kind]

    def ask(i: int) -> Any:
        return model.predict(HELD_OUT[i % 6 : i % 6 + 1])

    alone = [ask(i) for i in range(6)]
    np.testing.assert_array_equal(in_two_threads(ask, 24), [alone[i % 6] for i in range(24)])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(HELD_OUT[:1]), alone[0])


TEXTURES = [_texture(seed) for seed in range(4)]


def _first_parts() -> list[str]:
    """Every feature, detector and descriptor of the table, each in one method, and what puts two together."""
    rows: dict[str, list[str]] = {}
    for line in recipes.parts_table("points"):
        if line.name not in FILES:
            rows.setdefault(line.slot, []).append(line.name)
    pairs = [f"{name}+sift" for name in rows["detector"]] + [f"fast+{name}" for name in rows["descriptor"]]
    steps = [f"orb:{name}" for name in rows["step"]] + [f"{name}(surf,sift)" for name in rows["rule"]]
    return list(dict.fromkeys([*rows["feature"], *pairs, *steps]))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", _first_parts())
def test_two_threads_share_a_matcher(name: str) -> None:
    matcher = recipes.make_matcher(name, 60, 0)

    def ask(i: int) -> Any:
        found = matcher.match(TEXTURES[i % 4], TEXTURES[(i + 1) % 4])
        return found.keypoints_a.xy, found.xy_a, found.xy_b, found.homography

    alone = [ask(i) for i in range(4)]
    for i, parts in enumerate(in_two_threads(ask, 12)):
        for found, wanted in zip(parts, alone[i % 4], strict=True):
            np.testing.assert_array_equal(found, wanted)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(matcher)))
    np.testing.assert_array_equal(
        twin.match(*TEXTURES[:2]).keypoints_a.xy, matcher.match(*TEXTURES[:2]).keypoints_a.xy
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_of_points_shares_its_engine(engine: str) -> None:
    features = NetFeature(60, engine=engine), NetFeature(60, engine=engine)  # one net in the cache
    alone = [features[0].detect_and_describe(image) for image in TEXTURES]
    found = in_two_threads(lambda i: features[i % 2].detect_and_describe(TEXTURES[i % 4]), 40)
    for i, (points, rows) in enumerate(found):
        np.testing.assert_array_equal(points.xy, alone[i % 4][0].xy)
        np.testing.assert_array_equal(rows, alone[i % 4][1])


def test_silence_ends_with_the_last_thread() -> None:
    before = cv2.utils.logging.getLogLevel()

    def ask(i: int) -> int:
        with graphs.quiet():
            return int(cv2.utils.logging.getLogLevel())

    silent = cv2.utils.logging.LOG_LEVEL_SILENT
    assert set(in_two_threads(ask, 400)) == {silent} and cv2.utils.logging.getLogLevel() == before != silent


def test_the_lock_of_opencvs_own_nets_is_new_in_a_forked_process() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    from hybridkp.points import netfiles

    with netfiles.one_at_a_time():
        child = os.fork()
        if child == 0:
            os._exit(3 if netfiles._busy.locked() else 0)
        assert os.waitpid(child, 0)[1] == 0
