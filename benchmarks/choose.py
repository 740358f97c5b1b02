"""What docs/choose.md says of time and of turned pictures, from a bench's folder and its models.

Time is processor time of one thread, every model asked about the same object in turn, as in
``landmark_times.py``; what is kept is its ratio to one model's, which other jobs on the machine change
little.  Errors on turned pictures are those of ``hybridkp robustness`` in the same folder.

examples:
  python benchmarks/choose.py runs/drawn -o docs/results/choose_faces.json
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np
from landmark_times import contenders, measure

from hybridkp import recipes
from hybridkp.datasets import CORRUPTIONS
from hybridkp.evaluate import make_crops, stored_models, stored_problem
from hybridkp.files import write_atomic
from hybridkp.memory.threads import limit_threads
from hybridkp.structures import InputError

BASE = "sdm"


def ratios(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Method -> quartiles of its time over the base's, the fastest way to run each."""
    models = stored_models(folder)
    if BASE not in models:
        raise InputError(f"{folder}: has no model of {BASE}, which times are given against")
    val = stored_problem(folder).val
    crops = make_crops(val)
    rows = np.linspace(0, len(crops) - 1, min(rounds, len(crops))).astype(int)
    samples = [(val.samples[crops.sample[r]], crops.instance[r]) for r in rows]
    objects = [(s.image, s.instances[i].box_xywh) for s, i in samples]
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch, limit_threads(1):
        took = measure(contenders(list(models.values()), Path(scratch), ["onnxruntime"]), objects, rounds)
    base = next(values for (name, _), values in took.items() if name == BASE)
    return {
        name: np.percentile(values / base, [25, 50, 75]).round(2).tolist()
        for (name, _), values in took.items()
    }


def document(folder: Path, rounds: int) -> dict[str, Any]:
    """The published form: a row a method, best first."""
    bench, harder = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("results.json", "robustness.json")
    )
    degrees = CORRUPTIONS["rotation"].values
    found = {row["method"]: row for row in harder["methods"]}
    took = ratios(folder, rounds)
    rows = []
    for row in bench["methods"]:
        name, head = row["method"], bench["about"]["headline"]
        if name not in found:
            continue
        turned = [found[name]["clean"], *(found[name][f"rotation-{i + 1}"] for i in range(len(degrees)))]
        rows.append(
            {
                "method": name,
                "kind": recipes.family(name),
                "error": [round(row[key], 3) for key in (head, "low", "high")],
                "model_mb": round(row["model_mb"], 2),
                "time_ratio": took.get(name),
                "turned": [round(value, 2) for value in turned],
            }
        )
    about = bench["about"]
    keys = ("data", "fitted on", "date", "machine", "versions", "command")
    provenance = {key: about[key] for key in keys if key in about}
    provenance["command"] = re.sub(r" --out \S+", "", provenance.get("command", ""))
    provenance["load"] = f"{os.getloadavg()[0] / (os.cpu_count() or 1):.1f} processes a core while timing"
    provenance["judged"] = f"{bench['methods'][0]['objects']} objects; turned: {harder['about']['objects']}"
    return {"provenance": provenance, "base": BASE, "degrees": [0, *degrees], "methods": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("folder", type=Path, help="of a bench, with robustness.json")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args(arguments)
    write_atomic(args.out, json.dumps(document(args.folder, args.rounds), indent=1) + "\n")
    print(args.out)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
