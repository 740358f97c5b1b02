"""How the old files beside this script were made; run it only for a new format number.

Trained on the tiny synthetic problem of :mod:`hybridkp.checks`, seed 0; no data of anybody.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.svm import LinearSVC

from hybridkp.checks import make_problem
from hybridkp.descriptors import HOG
from hybridkp.files import save_model
from hybridkp.fusion import WeightedVote
from hybridkp.landmarks import HolisticRegressor, MeanShape, PatchDetector

HERE = Path(__file__).parent


def main() -> None:
    problem = make_problem(40)
    patches = PatchDetector(
        HOG(cells=3), LinearSVC(C=0.01), scales=(1.0,), n_hard=0, start=HolisticRegressor(grid=4)
    )
    model = WeightedVote([("mean", MeanShape()), ("patches", patches)])
    model.fit(problem.images, problem.xy, groups=problem.groups, flip=problem.flip)
    save_model(model, HERE / "model-format-1.hkp", {"landmarks": [f"mark {k}" for k in range(5)]})
    answer, score = model.predict_with_score(make_problem(6, random_state=1).images)
    np.savez(HERE / "model-format-1-answers.npz", xy=answer, score=score)


if __name__ == "__main__":
    main()
