"""Executors: the same bits wherever the work is done, and a sentence for whatever goes wrong there."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from plain_detectors import Failing, PlainMean, Waiting, plain_dataset
from report_helpers import answer, make_data

from hybridkp.cli.options import executor as address
from hybridkp.evaluate import bench, robustness, tune
from hybridkp.evaluate.executors import LARGE, Elsewhere, elsewhere, opened
from hybridkp.evaluate.remote import MOST_TRIES, carry_out, environment, unpacked
from hybridkp.files import load_predictions, save_model, save_predictions
from hybridkp.files.lease import scratch_folder
from hybridkp.landmarks import MeanShape
from hybridkp.report import write_report
from hybridkp.report.verdicts import host_marks
from hybridkp.structures import InputError, Problem

TRAIN, VAL = plain_dataset("train", 12), plain_dataset("val", 6, seed=100)
PROBLEM = Problem(TRAIN, VAL, max_timed=2)


class Here:
    """The contract and no more: the call is done when it is submitted."""

    def __init__(self):
        self.sent = []

    def submit(self, function, argument):
        self.sent.append(argument)
        future = Future()
        future.set_result(function(argument))
        return future


class Losing:
    """An executor whose workers die at every call; ``waiting`` are the calls that it has not begun."""

    def __init__(self, error=None, keep_waiting=False):
        self.error = error or OSError("the node is gone")
        self.keep_waiting = keep_waiting
        self.futures = []

    def submit(self, function, argument):
        self.futures.append(Future())
        if not self.keep_waiting:
            self.futures[-1].set_exception(self.error)
        return self.futures[-1]


def same(a, b):
    """Two runs' predictions are equal to the bit, and were made of the same."""
    assert [p.method for p in a] == [p.method for p in b]
    for p, q in zip(a, b, strict=True):
        assert p.xy.tobytes() == q.xy.tobytes() and p.score.tobytes() == q.score.tobytes()
        assert (p.names, p.params, p.fingerprint, p.history) == (q.names, q.params, q.fingerprint, q.history)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Two methods in processes of this machine."""
    out = tmp_path_factory.mktemp("here")
    gate = out / "gate"
    gate.touch()
    methods = {"noisy": PlainMean(sigma=2.0), "gated": Waiting(str(gate), sigma=1.0)}
    return methods, bench(methods, PROBLEM, out=out / "out"), out


# --------------------------------------------------------------------------------------------
# a cluster
# --------------------------------------------------------------------------------------------


def test_a_dask_cluster_gives_the_same_bits_although_a_worker_is_killed(here, tmp_path):
    distributed = pytest.importorskip("distributed")
    methods, expected, folder = here
    gate = Path(methods["gated"].gate)
    gate.unlink()
    events = []
    workers = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**workers) as cluster, distributed.Client(cluster) as client:
        place = f"dask://{cluster.scheduler_address.split('://')[1]}"

        def kill_whoever_waits():
            end = time.monotonic() + 60
            while not {("stage", "gated", "fits"), ("done", "noisy", "")} <= set(events):
                assert time.monotonic() < end
                time.sleep(0.1)
            busy = [worker for worker, calls in client.processing().items() if calls]
            killed.extend(client.run(os.getpid, workers=busy).values())
            os.kill(killed[0], signal.SIGKILL)
            gate.touch()  # its call has a second chance on the other worker

        killed: list[int] = []
        killer = threading.Thread(target=kill_whoever_waits)
        killer.start()
        found = bench(
            methods,
            PROBLEM,
            out=tmp_path,
            executor=place,
            progress=lambda e, m, _, d: events.append((e, m, d)),
        )
        killer.join()
        alive = list(client.run(os.getpid).values())
    assert len(killed) == 1 and len(alive) == 2 and killed[0] not in alive, "the cluster has made a new one"
    same(expected, found)
    assert all(p.fit_host and p.host for p in found)
    for name in ("noisy-0", "gated-0"):
        there, local = (root / "models" / f"{name}.hkp" for root in (tmp_path, folder / "out"))
        assert there.read_bytes() == local.read_bytes()
    assert [e[1] for e in events if e[0] == "start"].count("gated") == 1
    assert not list((tmp_path / "cache").glob("*-*")), "folders of the run are gone"
    events.clear()
    again = bench(methods, PROBLEM, out=tmp_path, progress=lambda e, m, *_: events.append((e, m)))
    assert events == [("kept", m) for m in methods], "a run here goes on with what was done there"
    same(expected, again)


@pytest.mark.parametrize(
    "text", ["node1:8786", "dask://node1", "dask://:1", "dask://node1:port", "tcp://a:1"]
)
def test_addresses(text):
    import argparse

    assert address("dask://node1:8786") == "dask://node1:8786"
    with pytest.raises(argparse.ArgumentTypeError, match="is not dask://HOST:PORT"):
        address(text)


def test_what_is_no_executor(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="a dict is no executor"), opened({}):
        pass
    with pytest.raises(InputError, match="slurm://a: no executor's address"), opened("slurm://a"):
        pass
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(InputError, match=r"dask://a:1: needs Dask: pip install 'hybridkp\[cluster\]'"):
        bench({"mean": PlainMean()}, PROBLEM, out=tmp_path, executor="dask://a:1")
    assert not list(tmp_path.rglob("crops-*")) and not list(tmp_path.rglob("hybridkp-run.json"))


def test_no_scheduler_answers(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("hybridkp.evaluate.executors.PATIENCE", 0.2)
    with (
        pytest.raises(InputError, match=r"dask://127\.0\.0\.1:9: no scheduler answers"),
        opened("dask://127.0.0.1:9"),
    ):
        pass


# --------------------------------------------------------------------------------------------
# the contract
# --------------------------------------------------------------------------------------------


def test_anything_with_submit_will_do_and_a_failure_says_where(here, tmp_path):
    methods, expected, _ = here
    told = []
    with ThreadPoolExecutor(2) as pool:
        found = bench(
            {"noisy": methods["noisy"], "bad": Failing()},
            PROBLEM,
            out=tmp_path,
            executor=pool,
            progress=lambda *e: told.append(e),
        )
    same(expected[:1], found)
    (failed,) = (e for e in told if e[0] == "failed")
    assert failed[3] == f"RuntimeError: this one always fails (on {found[0].fit_host})"
    assert "in fit" in (tmp_path / "errors" / "bad-0.txt").read_text(), "the traceback is the worker's"


def test_trials_and_conditions_and_their_crops_go_by_path(tmp_path):
    many = replace(TRAIN, samples=plain_dataset("train", 24).samples)
    there = Here()
    first, second = (
        tune(PlainMean(), {}, Problem(many, VAL), out=tmp_path / name, n_trials=1, executor=executor)
        for name, executor in (("a", None), ("b", there))
    )
    assert [replace(t, seconds=0.0) for t in first] == [replace(t, seconds=0.0) for t in second]
    crops_bytes = 24 * 128 * 128 * 3
    assert crops_bytes > LARGE and max(len(order.call) for order in there.sent) < crops_bytes / 20
    model = tmp_path / "mean.hkp"
    fitted = MeanShape().fit(np.zeros((2, 32, 32), np.uint8), np.ones((2, 3, 2)))
    save_model(fitted, model, {"size_hw": [32, 32]})
    local = robustness({"m": model}, VAL, out=tmp_path / "c", kinds=())
    remote = robustness({"m": model}, VAL, out=tmp_path / "d", kinds=(), executor=there)
    assert list(local) == list(remote)
    for condition in local:
        same(local[condition], remote[condition])


def test_ctrl_c_takes_back_what_has_not_begun_and_ends_what_has(tmp_path):
    """A thread of the pool waits for its call's process: that ends when the run is over."""
    methods = {"gated": Waiting(str(tmp_path / "never")), "second": PlainMean()}

    def stop(event, method, seed, detail):
        if (event, detail) == ("stage", "fits"):
            raise KeyboardInterrupt

    pool = ThreadPoolExecutor(1)
    with pytest.raises(KeyboardInterrupt):
        bench(methods, PROBLEM, out=tmp_path / "out", executor=pool, progress=stop)
    pool.shutdown(wait=True)  # returns: nobody waits for the gate any more
    assert not list((tmp_path / "out" / "predictions").glob("*"))
    waiting = Losing(keep_waiting=True)
    with elsewhere(waiting, tmp_path) as places:
        places.start(abs, -1)
    assert waiting.futures[0].cancelled()


def test_a_page_marks_times_of_several_machines(tmp_path):
    data = make_data()
    made = [
        answer(data, "one", 1.0, host="node1", fit_host="node1", versions={"machine": "Linux, A"}),
        answer(data, "two", 2.0, host="node3", fit_host="node2", versions={"machine": "Linux, B"}),
        answer(data, "old", 3.0, versions={"machine": "Linux"}),
    ]
    save_predictions(made[1], tmp_path / "two")
    again = load_predictions(tmp_path / "two")
    assert (again.host, again.fit_host) == ("node3", "node2")
    result = write_report([made[0], again, made[2]], data, tmp_path)
    marks = {row.method: dict(row.marks) for row in result.rows}
    assert marks == {
        "one": {"ms": "@1", "fit_s": "@1"},
        "two": {"ms": "@3", "fit_s": "@2"},
        "old": {"ms": "@?", "fit_s": "@?"},
    }, "a mark is the same machine in every column"
    assert host_marks({"one": ["node1"], "old": [""]}, ["node1"]) == {}
    for kind in ("markdown", "html"):
        text = result.paths[kind].read_text(encoding="utf-8")
        assert "Fit times were taken on 2 machines (@1 is node1 and @2 is node2)" in text
        assert "Figures were made on 2 kinds of machine (Linux, A; Linux, B)" in text
        assert (
            "2.00\N{NO-BREAK SPACE}@2" in text
            and "Milliseconds were taken on 2 machines (@1 is node1 and @3" in text
        )


# --------------------------------------------------------------------------------------------
# workers that are lost, or lack something
# --------------------------------------------------------------------------------------------


def test_a_job_that_kills_its_workers_fails_alone(tmp_path):
    executor = Losing()
    with elsewhere(executor, tmp_path) as places:
        errand = places.start(abs, -1)
        while not errand.done():
            pass
        words = str(places.finish(errand))
    assert "its worker was lost (OSError: the node is gone), 3 times" in words
    assert len(executor.futures) == MOST_TRIES


def test_a_cluster_of_another_installation_and_one_that_is_gone(tmp_path):
    executor = Losing(ImportError("No module named 'hybridkp'"))
    with elsewhere(executor, tmp_path) as places:
        errand = places.start(abs, -1)
        assert errand.done() and len(executor.futures) == 1, "no second try"
        assert "install the same hybridkp on all machines" in str(places.finish(errand))
    executor = Losing(keep_waiting=True)
    with elsewhere(executor, tmp_path) as places:
        errand = places.start(abs, -1)
        executor.futures[0].cancel()
        with pytest.raises(InputError, match=r"given its work up.*give the same command"):
            errand.done()


def test_a_backend_of_joblibs_for_other_machines_is_no_executor(tmp_path):
    class Distant(joblib.parallel.ParallelBackendBase):
        def effective_n_jobs(self, n_jobs):
            return 2

    joblib.register_parallel_backend("distant", Distant)
    with (
        joblib.parallel_config(backend="distant"),
        pytest.raises(
            InputError, match="joblib's Distant gets no work of ours: give the cluster as executor="
        ),
    ):
        bench({"mean": PlainMean()}, PROBLEM, out=tmp_path)


def end_hard():
    os.kill(os.getpid(), signal.SIGKILL)


def order_in(folder, work=abs, arguments=(-1,), **changed):
    places = Elsewhere(Here(), Path(folder))
    places.executor.submit = lambda function, argument: Future()
    return replace(places.start(work, *arguments).order, **changed)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_a_process_that_dies_is_told_from_a_worker_that_does_not_begin(tmp_path):
    with scratch_folder(tmp_path, "run") as folder:
        outcome = carry_out(order_in(folder, end_hard, ()))
        assert outcome.died and outcome.error == "its process died (signal SIGKILL)"
        good = carry_out(order_in(folder, number=1))
        assert unpacked(good) == 1 and not good.error
        for number in range(1, MOST_TRIES):  # an executor that sends again what its dead workers had
            (folder / "tries-1" / f"{number}-x").write_text(f"node{number}")
        outcome = carry_out(order_in(folder, number=1))
        assert outcome.input_error and "died 3 times" in outcome.error and "node2" in outcome.error


def test_a_worker_without_the_folder_and_one_with_other_versions(tmp_path):
    lost = carry_out(order_in(tmp_path / "not there"))
    assert lost.input_error and f"{tmp_path / 'not there'} is not there" in lost.error
    assert lost.error.startswith(f"worker on {lost.host}: ") and "\n" not in lost.error
    with scratch_folder(tmp_path, "run") as folder:
        other = carry_out(order_in(folder, versions={**environment(), "numpy": "1.0"}))
        assert other.input_error and f"has numpy {np.__version__} (asked for: 1.0)" in other.error
        nowhere = carry_out(order_in(folder, open, ("photos/a.jpg",), cwd="/no/such/folder", number=1))
        assert "photos/a.jpg" in nowhere.error and "which has no folder /no/such/folder" in nowhere.error
