"""Processor time of a pair for each method, over that of SIFT: all methods in turn, pair by pair.

    python benchmarks/points_times.py --methods sift,surf,net --points 1024
    python benchmarks/points_times.py path/to/folder --pairs 6      # pairs of a set in the HPatches layout

One process, one thread.  In each round every method, in random order, matches the same pair; a method's
ratio is the median over pairs of its least time over SIFT's least time on that pair.  What else runs on
the machine thus meets all methods alike.  Quartiles over pairs stand beside it.
"""

from __future__ import annotations

import sys
import time

import landmark_sets as sets
import numpy as np

from hybridkp.datasets import few_of_each, load_pairs
from hybridkp.datasets.synthetic.photo_pairs import SYNTHETIC
from hybridkp.memory.threads import limit_threads
from hybridkp.recipes import POINTS_DEFAULT, make_matcher, split

REFERENCE = "sift"


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("data", nargs="?", default=SYNTHETIC)
    parser.add_argument("--methods", default=",".join(POINTS_DEFAULT))
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--pairs", type=int, default=4, help="pairs, spread over the set")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="SURF on one pair: does it still run?")
    args = parser.parse_args()
    if args.quick:
        args.methods, args.points, args.pairs, args.rounds = "surf", 256, 1, 1
    names = list(dict.fromkeys([REFERENCE, *split(args.methods)]))
    matchers = {name: make_matcher(name, args.points) for name in names}
    pairs = [p for p in few_of_each(load_pairs(args.data), 1) if p.homography is not None]
    pairs = [pairs[i * len(pairs) // args.pairs] for i in range(min(args.pairs, len(pairs)))]
    rng, least = np.random.default_rng(0), np.full((len(names), len(pairs)), np.inf)
    with limit_threads(1):
        for column, pair in enumerate(pairs):
            images = pair.load_a(), pair.load_b()
            for turn in range(args.rounds + (column == 0)):  # the first round of all warms up
                for row in rng.permutation(len(names)):
                    start = time.process_time()
                    matchers[names[row]].match(*images)
                    spent = time.process_time() - start
                    if turn or column:
                        least[row, column] = min(least[row, column], spent)
    ratio = np.quantile(least / least[0], (0.5, 0.25, 0.75), axis=1).T
    print(f"{len(pairs)} pairs, {args.points} points, least of {args.rounds} rounds; SIFT's pair is 1")
    for row in np.argsort(ratio[:, 0]):
        middle, low, high = ratio[row]
        milliseconds = 1000 * np.median(least[row])
        print(f"{names[row]:28s} {middle:5.2f} [{low:.2f}, {high:.2f}]  {milliseconds:7.1f} ms")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
