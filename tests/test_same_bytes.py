"""The same bytes, however many processes run side by side and whatever threads a caller asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from every_part import FILES, methods, tiny
from faults import results

from hybridkp import recipes
from hybridkp.datasets import make_faces
from hybridkp.evaluate import Problem, bench, bench_pairs, load_some_pairs, robustness, tune
from hybridkp.structures import Dataset


def test_every_part_is_in_a_method() -> None:
    lines = [line for line in recipes.parts_table() if line.slot != "picture"]
    text, names = " ".join(methods()), {line.name for line in lines}
    assert {name for name in names if name not in text} == names & set(FILES)


@pytest.mark.slow
def test_every_fit_is_the_same_for_one_thread_and_two() -> None:
    """Side by side, so that each is also disturbed by the other."""
    script = Path(__file__).with_name("every_part.py")
    running = [
        subprocess.Popen(
            [sys.executable, script],
            env=os.environ | {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "MKL_NUM_THREADS": n},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in ("1", "2")
    ]
    said = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    one, two = (json.loads(out) for out, _ in said)
    assert one.keys() == set(methods()) and one == two


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return make_faces(24, (96, 96), random_state=0)


@pytest.mark.slow
def test_stored_results_are_the_same_for_one_job_and_two(faces: Dataset, tmp_path: Path) -> None:
    problem = Problem(faces.subset(range(16)), faces.subset(range(16, 24)), size_hw=(48, 48), max_timed=0)
    made: dict[str, Any] = {name: tiny(name) for name in ("sdm", "hog+svm")}
    found = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        bench(made, problem, out=out / "bench", n_jobs=jobs)
        tune(made["sdm"], {"alpha": [1.0]}, problem, out=out / "tune", n_trials=2, cv=2, n_jobs=jobs)
        models = {name: out / "bench" / "models" / f"{name}-0.hkp" for name in made}
        robustness(models, problem, out=out / "hard", kinds=["blur"], severities=[2], n_jobs=jobs)
        found.append(results(out))
    assert len(found[0]) >= 2 + 2 + 2 + 1 + 4 and found[0] == found[1]


def test_stored_matches_are_the_same_for_one_job_and_two(tmp_path: Path) -> None:
    pairs = load_some_pairs("synthetic", 96, True)
    pairs = type(pairs)(pairs.name, pairs.pairs[:3])
    for jobs in (1, 2):
        made = {name: recipes.make_matcher(name, 60, 0) for name in ("sift", "net")}
        bench_pairs(made, pairs, out=tmp_path / str(jobs), n_jobs=jobs, max_timed=1)
    one, two = (results(tmp_path / str(jobs)) for jobs in (1, 2))
    assert len(one) == 2 and one == two


def test_a_callers_threads_are_left_as_they_are(tmp_path: Path) -> None:
    """Neither the library nor a bench changes them, in this process or for its children."""
    code = (
        "import os, json, sys, threadpoolctl, numpy, cv2\n"
        "def state(): return [os.environ['OMP_NUM_THREADS'], cv2.getNumThreads(),"
        " sorted((p['prefix'], p['num_threads']) for p in threadpoolctl.threadpool_info())]\n"
        "import sklearn.svm, scipy.linalg\n"
        "before = state()\n"
        "from hybridkp import recipes\n"
        "from hybridkp.datasets import make_faces\n"
        "from hybridkp.evaluate import Problem, bench\n"
        "faces = make_faces(8, (64, 64))\n"
        "problem = Problem(faces.subset(range(6)), faces.subset([6, 7]), size_hw=(48, 48))\n"
        "bench({'m': recipes.make_method('mean-shape')}, problem, out=sys.argv[1])\n"
        "recipes.make_method('hog+ridge').fit(numpy.zeros((2, 48, 48), numpy.uint8), numpy.ones((2, 3, 2)))\n"
        "assert state() == before, (before, state())\n"
    )
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    env.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
