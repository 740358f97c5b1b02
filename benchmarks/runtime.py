"""What an application waits for and holds: imports, a model's load and its first answer, each in a process.

    python benchmarks/runtime.py [--quick]

Seconds are the processor's, so that other jobs' turns do not count; memory is what is resident.  How long the
networks were trained does not matter here: they are not.  What an answer takes once a model is warm is in
``landmark_times.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import recipes, runtime
from hybridkp.datasets import make_faces
from hybridkp.evaluate import make_crops
from hybridkp.files import save_model

METHODS = ("sdm", "sdm-fast", "hog+svm", "heatmap[max_epochs=1,epoch_pictures=16,device=cpu]")

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
ASK = "import numpy as np; {load}; d.predict_with_score(np.zeros((1, 128, 128), np.uint8))"
LOADS = {
    "runtime": ("hkr", "from hybridkp import runtime; d = runtime.load({!r})"),
    "estimator": ("hkp", "from hybridkp.files import load_model; d = load_model({!r})"),
}


def fresh(code: str) -> list[Any]:
    program = START.format(code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def write_models(names: tuple[str, ...], folder: Path, n_faces: int) -> dict[str, str]:
    """Each method's model and its export; what each is called -> the code that loads it and asks it."""
    crops, out = make_crops(make_faces(n_faces, (160, 160))), {}
    for i, name in enumerate(names):
        model = recipes.make_method(name).fit(crops.images, crops.xy, groups=crops.groups)
        runtime.export_runtime(model, folder / f"{i}.hkr", {"margin": 1.25})
        save_model(model, folder / f"{i}.hkp")
        for kind, (ending, load) in LOADS.items():
            code = ASK.format(load=load.format(str(folder / f"{i}.{ending}")))
            out[f"{kind}: load and ask {name.partition('[')[0]}"] = code
    return out


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="one method, few rounds and training pictures")
    quick = parser.parse_args().quick
    rows = {
        "import cv2, numpy": "import cv2, numpy",
        "import hybridkp.runtime": "import hybridkp.runtime.detector",
    }
    with tempfile.TemporaryDirectory() as folder:
        rows |= write_models(METHODS[1:2] if quick else METHODS, Path(folder), 24 if quick else 60)
        found = [[name, *fresh(code)] for name, code in sorted(rows.items())]
    cells = [
        [name, f"{seconds:.2f}", f"{megabytes:.0f}", *("yes" if flag else "no" for flag in loaded)]
        for name, seconds, megabytes, *loaded in found
    ]
    print(sets.markdown(["process", "s", "resident MB", "torch", "scikit-learn"], cells))
    with_cv2, with_ours = "import cv2, numpy", "import cv2, numpy; from hybridkp import runtime; runtime.load"
    took = [[fresh(code)[0] for code in (with_cv2, with_ours)] for _ in range(2 if quick else 7)]
    low, middle, high = np.percentile([ours / theirs for theirs, ours in took], [25, 50, 75])
    print(f"\n`from hybridkp import runtime` over `import cv2`: {middle:.2f} ({low:.2f}-{high:.2f}) times it")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
