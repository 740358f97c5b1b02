"""Does ``hybridkp data suggest`` save labels?  The error after labelling what it names, and random pictures.

    python benchmarks/label_suggest.py --sets faces68,faces --seeds 100,101 -o docs/results/label_suggest.json

From 60 random labels to 120 to 180, by each way of choosing; random choice goes on to 300, so that one
can say how many labels it needs for the same error.  Errors are those of the method (default sdm) on
pictures that nobody chooses from: NME in percent of the longer side of the points' box.  ``faces68`` draws
from one half of its groups (seeds from 100: not the half that the choice was designed on) and is judged on
the other; ``faces`` are drawn ones.  What the file holds already is not computed again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import landmark_sets as sets
import numpy as np

from hybridkp.datasets import group_folds, load_dataset, make_faces
from hybridkp.evaluate import Crops, make_crops
from hybridkp.labels.choosing import choose, committee, disagreement, looks_of
from hybridkp.memory.threads import limit_threads
from hybridkp.recipes import make_method
from hybridkp.structures import Array, InputError

START, STEPS, MORE = 60, (120, 180), (240, 300)
SPLIT = 12345  #: seed of the two halves, as in label_errors.py
POOL = 700


def pools(name: str, seed: int, quick: bool) -> tuple[Crops, Crops]:
    """What is chosen from, and what is judged on."""
    if name == "faces":
        n, size = (90, (48, 48)) if quick else (POOL, (96, 96))
        chosen, judged = (make_faces(m, random_state=s) for m, s in ((n, 2 * seed), (n // 2, 2 * seed + 1)))
        return make_crops(chosen, size), make_crops(judged, size)
    if name != "faces68":
        raise InputError(f"no set {name!r}: faces68, faces")
    whole = make_crops(load_dataset(sets.data_root() / "faces68", "train"))
    halves = group_folds(whole.groups, 2, SPLIT)[0]
    ours, others = halves[::-1] if seed >= 100 else halves
    rows = np.random.default_rng(seed).permutation(ours)[:POOL]
    return part(whole, rows), part(whole, others[::2])


def part(crops: Crops, rows: Array) -> Crops:
    return replace(crops, images=crops.images[rows], xy=crops.xy[rows], groups=crops.groups[rows])


def by_chance(pool: Crops, done: Array, free: Array, n: int, method: str, seed: int) -> Array:
    return free[:n]


def hardest(pool: Crops, done: Array, free: Array, n: int, method: str, seed: int) -> Array:
    apart = disagreement(committee(part(pool, done), pool.images[free], make_method(method), seed))
    return free[np.argsort(-apart, kind="stable")[:n]]


def typical(pool: Crops, done: Array, free: Array, n: int, method: str, seed: int) -> Array:
    looks = looks_of(pool.images)
    return free[choose(np.ones(len(free)), looks[free], looks[done], n, seed)]


def suggested(pool: Crops, done: Array, free: Array, n: int, method: str, seed: int) -> Array:
    apart = disagreement(committee(part(pool, done), pool.images[free], make_method(method), seed))
    looks = looks_of(pool.images)
    return free[choose(apart, looks[free], looks[done], n, seed)]


WAYS: dict[str, Callable[..., Array]] = {
    "by chance": by_chance,
    "the hardest": hardest,
    "typical": typical,
    "suggested": suggested,
}


def curve(pool: Crops, judged: Crops, way: str, method: str, seed: int, scale: float) -> dict[str, float]:
    """Number of labels -> error in percent; the same start for every way."""
    order = np.random.default_rng(seed).permutation(len(pool))
    done, out = order[: round(START * scale)], {}
    extent = np.ptp(judged.xy, axis=1).max(1)
    for n in (*STEPS, *(MORE if way == "by chance" else ())):
        size = round(n * scale)
        free = order[~np.isin(order, done)]
        done = np.concatenate([done, WAYS[way](pool, done, free, size - len(done), method, seed)])
        taught = part(pool, done)
        with limit_threads(1):
            model = make_method(method).fit(taught.images, taught.xy, groups=taught.groups, flip=pool.flip)
            off = np.linalg.norm(model.predict(judged.images) - judged.xy, axis=2).mean(1)
        out[str(size)] = round(float(np.mean(off / extent)) * 100, 4)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--sets", type=sets.names_of, default=["faces"], help="faces68, faces (default)")
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[100])
    parser.add_argument("--ways", type=sets.names_of, default=list(WAYS), help="default: all")
    parser.add_argument("--method", default="sdm", help="default: %(default)s")
    parser.add_argument("-o", "--out", type=Path, help="JSON to add to")
    parser.add_argument("--quick", action="store_true", help="tiny, on drawn faces")
    args = parser.parse_args(arguments)
    if args.quick:
        args.sets, args.method = ["faces"], "hog+ridge"
    document = sets.kept(args.out, {"method": args.method, "sets": {}})
    for name in args.sets:
        for seed in args.seeds:
            rows = document["sets"].setdefault(name, {}).setdefault(str(seed), {})
            missing = [way for way in args.ways if way not in rows]
            pool, judged = pools(name, seed, args.quick) if missing else (None, None)
            for way in missing:
                assert pool is not None and judged is not None
                rows[way] = curve(pool, judged, way, args.method, seed, 0.2 if args.quick else 1.0)
                print(name, seed, way, rows[way], flush=True)
                sets.keep(args.out, document)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
