"""How well points in a picture tell points in space: MPJPE of every lifter, and of their fusion.

    python benchmarks/lifting.py -o docs/results/lifting.json      the pairs of lift15 (HumanEva)
    python benchmarks/lifting.py --quick                           made-up poses, a moment

Protocol: poses in the axes of their camera, relative to the pelvis; each camera's axes are resected from the
training pairs alone.  Every lifter has the same budget: six settings on 800 training poses.  Val is a third
person, so each fold leaves one of the two persons out.  The settings of least error are fitted on all
training pairs.  Errors in mm; intervals resample sequences (one motion in all three cameras).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp.lifting import LIFTERS, PosePairs, camera_frame, compare_lifters, load_pairs
from hybridkp.lifting.compared import judged
from hybridkp.lifting.pairs import in_camera
from hybridkp.memory.threads import limit_threads
from hybridkp.stats import ENOUGH_GROUPS, bootstrap_interval, paired_difference

ROOT, TO_MM = 0, 1000.0


def made_up(n: int, seed: int) -> PosePairs:
    """Twelve points whose depth follows from their places, seen from one side."""
    rng = np.random.default_rng(seed)
    bend = rng.normal(0, 1, (n, 3))
    base = np.random.default_rng(0).normal(0, 0.3, (12, 3))
    xyz = base + np.einsum("bi,ikj->bkj", bend, np.random.default_rng(1).normal(0, 0.08, (3, 12, 3)))
    xy = 700 * xyz[..., :2] / (xyz[..., 2:] + 4) + 320 + rng.normal(0, 1, (n, 12, 2))
    groups = np.array([f"s{i // 20}" for i in range(n)], dtype=object)
    return PosePairs(xy, xyz, groups, np.zeros(n, int), np.zeros((0, 2), int))


def read(quick: bool) -> tuple[PosePairs, PosePairs, dict[str, float]]:
    if quick:
        return made_up(160, 2), made_up(60, 3), {}
    folder = sets.data_root() / "lift15"
    parts = [load_pairs(folder / "train.npz", r"/(S\d)/"), load_pairs(folder / "val.npz")]
    turns = camera_frame(parts[0])
    return *(in_camera(part, turns) for part in parts), {str(k): v[1] for k, v in turns.items()}  # type: ignore[return-value]


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    train, val, residual = read(args.quick)
    kinds = ["ridge", "shape model"] if args.quick else list(LIFTERS)
    with limit_threads(1):
        found = compare_lifters(train, val, kinds, root=ROOT, told=lambda *what: print(*what, flush=True))
    values = {one.name: {key: TO_MM * v for key, v in judged(one, val, ROOT).items()} for one in found}
    first = min(kinds, key=lambda k: values[k]["mpjpe"].mean())
    rows = []
    for one in found:
        row: dict[str, Any] = {"lifter": one.name}
        for key, errors in values[one.name].items():
            about = bootstrap_interval(errors, val.groups)
            row |= {f"{key}_mm": about.value, f"{key}_low": about.low, f"{key}_high": about.high}
        gap = paired_difference(values[one.name]["mpjpe"], values[first]["mpjpe"], val.groups)
        row["to_best_single_mm"] = [gap.difference, gap.low, gap.high]
        row["p"] = gap.p if gap.n_groups >= ENOUGH_GROUPS else None
        row["errors_on_folds_mm"] = [round(TO_MM * e, 1) for e in one.errors]
        if one.lifter is not None and one.errors:
            row["settings"] = one.lifter.get_params()
        rows.append(row)
        print(f"{one.name:14} {row['mpjpe_mm']:.1f} {row['p_mpjpe_mm']:.1f}", flush=True)
    document = {
        "lifters": rows,
        "best_single": first,
        "n_train": len(train),
        "n_val": len(val),
        "sequences_val": len(set(val.groups.tolist())),
        "camera_residual_px": residual,
        "command": "python benchmarks/lifting.py",
    }
    sets.keep(args.output, document)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
