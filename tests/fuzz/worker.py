"""The limited process of the harness: reads the files of one target whose paths come on standard input.

One line goes out for each: what was said (``ok``, ``refused``, ``memory``, ``traceback ...``), and ``past``
before it where the reader came behind the file's header.  ``python worker.py TARGET BYTES``.
"""

from __future__ import annotations

import os
import sys

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")
import resource
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import seeds

from hybridkp import checks, evaluate, memory, recipes, runtime
from hybridkp.datasets import check_dataset, load_dataset, load_pairs, read_pts
from hybridkp.evaluate import bench_landmarks, bench_points
from hybridkp.evaluate.trials import choices_table, read_trials, trials_table
from hybridkp.files import load_model, load_predictions, read_image, read_meta
from hybridkp.files.onnx_check import check_foreign, check_own
from hybridkp.report import write_points_report, write_report
from hybridkp.structures import InputError

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
SHARE = 12  #: of so many run folders the page of one is drawn: it takes a second
PAST = [0]  #: how often the reader came behind a header
SEEN = [0]  #: run folders so far


def read_model(path: Path) -> None:
    read_meta(path)
    load_model(path).predict_with_score(PICTURES)


def read_runtime(path: Path) -> None:
    runtime.load(path, engine="cv2.dnn").detect(PICTURES[0])


def read_onnx(path: Path) -> None:
    data = path.read_bytes()
    check_foreign(data)
    check_own(data, {"image": (1, 1, 64, 64)})


def read_coco(path: Path) -> None:
    every(
        lambda: list(check_dataset(path)),
        lambda: evaluate.make_crops(load_dataset(path), (16, 16)),
    )


def every(*steps: Callable[[], Any]) -> None:
    """All of them, whatever the others said; the last complaint is handed on."""
    said: InputError | None = None
    for step in steps:
        try:
            step()
        except InputError as error:
            said = error
    if said is not None:
        raise said


def read_run(path: Path) -> None:
    """A run's folder as the commands read it again; what would be fitted anew is only counted."""
    SEEN[0] += 1
    {"bench": read_bench, "points": read_points, "tuned": read_tuned}[path.name](path)


def read_bench(out: Path) -> None:
    data = out.parents[1]

    def report() -> None:
        assert evaluate.stored_task(out) == "landmarks"
        problem = evaluate.stored_problem(out)
        good, _ = evaluate.comparable_predictions(out, problem)
        if SEEN[0] % SHARE == 0:
            write_report(good, problem.val, out)

    def models() -> None:
        for path in evaluate.stored_models(out).values():
            load_model(path)
            read_meta(path)

    every(report, models, lambda: evaluate.bench(seeds.METHODS, seeds.problem(data), out=out))


def read_points(out: Path) -> None:
    def report() -> None:
        found, pairs = evaluate.comparable_matches(out)
        if SEEN[0] % SHARE == 0:
            write_points_report(found, pairs, out, families={}, abouts={})

    pairs = load_pairs(str(out.parents[1] / "seeds" / "pairs"))
    every(
        lambda: evaluate.stored_task(out),
        report,
        lambda: evaluate.bench_pairs(seeds.MATCHERS, pairs, out=out, n_points=[64], max_timed=0),
    )


def read_tuned(out: Path) -> None:
    def use() -> None:
        found = evaluate.found_settings(out)
        recipes.with_settings("hog+ridge", recipes.make_method("hog+ridge"), found)

    def tables() -> None:
        trials = {p.parent.name: read_trials(p) for p in sorted(out.glob("*/trials.json"))}
        choices_table(trials)
        [trials_table(name, each) for name, each in trials.items()]

    every(use, tables)


def read_fits(path: Path) -> None:
    """What was remembered must come back, or be computed again, or be refused: never something else."""
    p = checks.make_problem(12)
    model = seeds.remembered()
    with memory.remember(path):
        found = memory.fitted(model, p.images, p.xy, groups=p.groups, flip=p.flip)
        found.predict_with_score(p.images[:2])
        memory.out_of_fold(model, p.images, p.xy, groups=p.groups, flip=p.flip, cv=2)
    if (path / seeds.CHECKPOINT).exists():
        seeds.network(path / seeds.CHECKPOINT).fit(p.images, p.xy)


#: target -> how a file of it is read, and the function behind its header; "" where the harness looks itself
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "model": (read_model, "hybridkp.files.modelfile:Reader"),
    "runtime": (read_runtime, "hybridkp.runtime.detector:build"),
    "onnx": (read_onnx, "hybridkp.files.onnx_check:Known"),
    "predictions": (load_predictions, "hybridkp.files.predictions:_built"),
    "coco": (read_coco, "hybridkp.datasets.coco:pick_category"),
    "formats": (read_coco, ""),
    "pts": (read_pts, "hybridkp.datasets.pts:_row"),
    "picture": (read_image, "cv2:imdecode"),
    "run": (read_run, ""),
    "fits": (read_fits, ""),
}


def watch(gate: str) -> None:
    """Count the calls of a function."""
    if not gate:
        return
    module, name = gate.split(":")
    inner = getattr(import_module(module), name)

    def counted(*values: Any, **named: Any) -> Any:
        PAST[0] += 1
        return inner(*values, **named)

    setattr(import_module(module), name, counted)


def would_run(jobs: Any, *_: Any) -> list[str]:
    """In place of processes: a bench that goes on reads what there is, and would fit the rest."""
    for job in jobs:
        if hasattr(job, "partial"):
            bench_points._begun(job)
    return [f"{job.method}: would be computed again" for job in jobs] or ["nothing"]


def main() -> None:
    target, limit = sys.argv[1], int(sys.argv[2])
    read, gate = READERS[target]
    watch(gate)
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    bench_landmarks.run_jobs = bench_points.run_jobs = would_run
    if target == "fits":
        seeds.network(None)  # torch is there before the limit
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
    print("ready", flush=True)
    for line in sys.stdin:
        PAST[0] = 0
        try:
            read(Path(line.strip()))
            said = "ok"
        except InputError as error:
            text = str(error)
            said = "refused" if len(text) < 1000 and "\n" not in text else "lines: a message of many"
        except MemoryError:
            said = "memory"
        except BaseException as error:
            said = f"traceback {type(error).__name__} {' '.join(str(error).split())[:200]}"
        print("past" if PAST[0] else "-", said, flush=True)


if __name__ == "__main__":
    main()
