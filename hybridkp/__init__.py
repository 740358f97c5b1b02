"""hybridkp: classical, deep and hybrid keypoint detectors side by side.

The root keeps a few lazy doors: importing it loads neither torch nor scikit-learn.
"""

from __future__ import annotations

from .lazy import doors

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "Dataset": "structures",
        "InputError": "structures",
        "Instance": "structures",
        "Keypoints": "structures",
        "Predictions": "structures",
        "Pyramid": "structures",
        "Sample": "structures",
        "bench": "evaluate",
        "load_dataset": "datasets",
        "load_model": "files",
        "make_faces": "datasets",
        "make_method": "recipes",
        "method_names": "recipes",
        "save_model": "files",
        "write_report": "report",
    },
    "__version__",
)
