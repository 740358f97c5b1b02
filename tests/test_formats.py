"""A format is a promise: files of every format number that was ever released stay readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridkp.checks import make_problem
from hybridkp.files import load_model, read_meta

FORMATS = Path(__file__).parent / "formats"


@pytest.mark.parametrize("number", [1])
def test_old_model_files_give_the_same_answers(number: int) -> None:
    path = FORMATS / f"model-format-{number}.hkp"
    xy, score = load_model(path).predict_with_score(make_problem(6, random_state=1).images)
    with np.load(FORMATS / f"model-format-{number}-answers.npz", allow_pickle=False) as then:
        # cascades read between pixels since, and OpenCV 4 warps a little differently: 0.17 px measured there
        np.testing.assert_allclose(xy, then["xy"], atol=0.2)
        np.testing.assert_allclose(score, then["score"], atol=0.03)
    assert read_meta(path)["landmarks"] == [f"mark {k}" for k in range(5)]
