"""Milliseconds per object of exported models, against the estimator and between the two engines.

    python benchmarks/runtime.py [--quick]

Contract: one thread, and its processor time, so that other jobs' turns do not count; warm crops of
128 x 128 px, 20 landmarks, one object at a time as an application has it.  Each round asks every
contender once, the first rounds are dropped; medians with quartiles, and the ratio is the median
of the rounds' ratios.  How long the networks were trained does not matter here: they are not.
Import and load are measured in processes of their own: seconds (processor) and resident memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np

from hybridkp import fusion, runtime
from hybridkp.datasets import make_faces
from hybridkp.deep import CNNRefiner, DirectNet, HeatmapNet, Schedule
from hybridkp.evaluate import make_crops
from hybridkp.files import save_model
from hybridkp.fusion.refined import Refined
from hybridkp.landmarks import CascadedRegressor, FastCascade, HolisticRegressor, PatchDetector
from hybridkp.memory.threads import limit_threads

WARM_UP = 3  # rounds
STARTED = ("sdm", "sdm-fast", "hog+svm", "heatmap")  # loaded in processes of their own
QUICK = ("sdm-fast", "heatmap")

START = """
import json, sys, time
start = time.process_time()
{code}
took = time.process_time() - start
try:
    with open("/proc/self/status", encoding="ascii") as file:  # getrusage would give the parent's peak
        megabytes = next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
except OSError:
    megabytes = float("nan")
print(json.dumps([took, megabytes, "torch" in sys.modules, "sklearn" in sys.modules]))
"""


def models(quick: bool) -> dict[str, Any]:
    short = {"schedule": Schedule(max_epochs=1, epoch_pictures=16, device="cpu")}
    made = {
        "hog+ridge": HolisticRegressor(),
        "sdm": CascadedRegressor(),
        "sdm-fast": FastCascade(),
        "hog+svm": PatchDetector(),
        "direct": DirectNet(**short),
        "heatmap": HeatmapNet(**short),
        "sdm+cnn": Refined(CascadedRegressor(), CNNRefiner(**short), cv=2),
        "vote": fusion.WeightedVote([("sdm", CascadedRegressor()), ("heatmap", HeatmapNet(**short))]),
    }
    return {name: made[name] for name in QUICK} if quick else made


def engines(path: Path) -> dict[str, Any]:
    """The exported model on every engine that its graphs, if any, can run on."""
    with path.open("rb") as file:
        has_graph = b".onnx" in file.read()
    if not has_graph:
        return {"runtime": runtime.load(path)}
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return {"cv2.dnn": runtime.load(path, "cv2.dnn")}
    return {name: runtime.load(path, name) for name in ("onnxruntime", "cv2.dnn")}


def measure(calls: dict[str, Callable[[Any], Any]], crops: Any, rounds: int) -> dict[str, Any]:
    """Processor ms per call (rounds,) of every contender, all of them asked in every round."""
    out: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(WARM_UP + rounds):
        crop = crops[i % len(crops)][None]
        for name, call in calls.items():
            start = time.process_time()
            call(crop)
            out[name].append(1e3 * (time.process_time() - start))
    return {name: np.array(values[WARM_UP:]) for name, values in out.items()}


def row(cells: list[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def quartiles(values: Any) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def fresh(code: str) -> list[Any]:
    program = START.format(code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two methods, few rounds and training pictures")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    crops = make_crops(make_faces(24 if quick else 60, (160, 160)))
    folder = Path(tempfile.mkdtemp())
    print(f"OpenCV {cv2.__version__}, {crops.xy.shape[1]} landmarks, ms per object in one thread\n")
    row(["method", "estimator", "runtime", "on", "estimator / runtime", "largest difference px", "file MB"])
    row(["---"] * 7)
    with limit_threads(1):
        _torch_threads(1)
        for name, detector in models(quick).items():
            model = detector.fit(crops.images, crops.xy, groups=crops.groups)
            path = runtime.export_runtime(model, folder / f"{name}.hkr", {"margin": 1.25})
            save_model(model, folder / f"{name}.hkp")
            exported = engines(path)
            calls = {"estimator": model.predict_with_score}
            calls |= {engine: detector.predict_with_score for engine, detector in exported.items()}
            some = crops.images[:8]
            took = measure(calls, crops.images, 12 if quick else 60)
            for engine, detector in exported.items():
                # one crop at a time: in a batch, the estimator's own products round differently
                pairs = [(detector.predict_with_score(c[None])[0], model.predict(c[None])) for c in some]
                off = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
                ratio = took["estimator"] / np.maximum(took[engine], 1e-6)
                cells = [quartiles(took["estimator"]), quartiles(took[engine]), engine, quartiles(ratio)]
                row([name, *cells, f"{off:.1e}", f"{path.stat().st_size / 1e6:.1f}"])
            if len(exported) == 2:
                ratio = took["cv2.dnn"] / np.maximum(took["onnxruntime"], 1e-6)
                print(f"  {name}: cv2.dnn / onnxruntime = {quartiles(ratio)}", flush=True)
    _starts(folder, QUICK if quick else STARTED)
    _import_ratio(2 if quick else 7)


def _torch_threads(n: int) -> None:
    import torch

    torch.set_num_threads(n)


def _import_ratio(rounds: int) -> None:
    """How much longer an application's imports take than OpenCV's own, both in every round."""
    with_cv2, with_ours = "import cv2, numpy", "import cv2, numpy; from hybridkp import runtime; runtime.load"
    took = [[fresh(code)[0] for code in (with_cv2, with_ours)] for _ in range(rounds)]
    ratio = np.array([ours / theirs for theirs, ours in took])
    print(f"\n`from hybridkp import runtime` after `import cv2`: {quartiles(ratio)} times `import cv2`")


def _starts(folder: Path, names: Sequence[str]) -> None:
    print()
    row(["process", "s", "resident MB", "torch", "scikit-learn"])
    row(["---"] * 5)
    ask = "d.predict_with_score(np.zeros((1, 128, 128), np.uint8))"
    for name, code in (
        ("import cv2, numpy", "import cv2, numpy"),
        ("import hybridkp.runtime", "import hybridkp.runtime.detector"),
        *(
            (
                f"runtime: load and ask {m}",
                f"import numpy as np; from hybridkp import runtime;"
                f" d = runtime.load({str(folder / m) + '.hkr'!r}); {ask}",
            )
            for m in names
        ),
        *(
            (
                f"estimator: load and ask {m}",
                f"import numpy as np; from hybridkp.files import load_model;"
                f" d = load_model({str(folder / m) + '.hkp'!r}); {ask}",
            )
            for m in names
        ),
    ):
        seconds, megabytes, torch, sklearn = fresh(code)
        loaded = ["yes" if flag else "no" for flag in (torch, sklearn)]
        row([name, f"{seconds:.2f}", f"{megabytes:.0f}", *loaded])


if __name__ == "__main__":
    main()
