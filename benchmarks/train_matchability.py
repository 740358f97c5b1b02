"""Trains the shipped matchability model on the bundled training pictures, and judges it on held-out ones.

    python benchmarks/train_matchability.py --out hybridkp/points/weights/matchability.hkp
    python benchmarks/train_matchability.py --judge     # every other picture held out, nothing written

Pictures: ``hybridkp.datasets.training_pictures``, none of which any bench judges on.  Seed 0; one
thread; about two minutes.  ``--judge`` prints the correct inliers at a budget against the
ranking by response, by picture, on views that no training has drawn.
"""

from __future__ import annotations

import sys

import landmark_sets as sets
import numpy as np
from threadpoolctl import threadpool_limits

from hybridkp.datasets import training_pictures
from hybridkp.files import save_model
from hybridkp.imaging.geometry import apply_homography
from hybridkp.imaging.images import to_grey
from hybridkp.points import Matchability, MatchabilityRanked, SIFTFeature, mutual_nearest
from hybridkp.points.matchability import RIGHT_PX
from hybridkp.points.views import random_view

SHORT_SIDE = 480
#: text and drawings: hundreds of corners that look alike, unlike what anybody matches
LEFT_OUT = ("page", "text", "chessboard_GRAY", "clock_motion", "cell", "moon")


def correct(feature: object, image: np.ndarray, view: np.ndarray, homography: np.ndarray) -> int:
    """Mutual nearest neighbours within 3 px of the truth."""
    a, b = (feature.detect_and_describe(picture) for picture in (image, view))
    matches = mutual_nearest(a[1], b[1])
    away = apply_homography(homography, a[0].xy[matches.index_a]) - b[0].xy[matches.index_b]
    return int((np.hypot(*away.T) <= RIGHT_PX).sum())


def judge(model: Matchability, pictures: dict[str, np.ndarray], budget: int, n_views: int, seed: int) -> None:
    methods = {
        "response": SIFTFeature(budget, root=True),
        "response, low contrast": SIFTFeature(budget, root=True, contrast_threshold=0.01),
        "matchability": MatchabilityRanked(n_points=budget, model=model),
    }
    print(f"correct matches at {budget} points: " + ", ".join(methods))
    rng = np.random.default_rng(seed)
    for name, image in pictures.items():
        views = [random_view(image, rng) for _ in range(n_views)]
        counts = [[correct(method, image, *view) for view in views] for method in methods.values()]
        print(f"{name:20s}", *(f"{np.mean(c):7.1f}" for c in counts), flush=True)


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--out")
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--leaves", type=int, default=24)
    args = parser.parse_args()
    pictures = {n: to_grey(i) for n, i in training_pictures(SHORT_SIDE).items() if n not in LEFT_OUT}
    names = list(pictures)
    learn = names[::2] if args.judge else names
    with threadpool_limits(1):
        model = Matchability(n_views=args.views, n_trees=args.trees, n_leaves=args.leaves)
        model.fit([pictures[name] for name in learn])
        print(f"{len(learn)} pictures, {100 * model.base_rate_:.1f} % of the points are matched")
        if args.judge:
            judge(model, {n: pictures[n] for n in names[1::2]}, 512, 6, seed=1000)
    if args.out:
        save_model(model, args.out, {"pictures": learn, "short_side": SHORT_SIDE})


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
