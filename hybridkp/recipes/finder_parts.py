"""The parts of finders, a row each: what may stand in front of "/" in a method, and in bench-finders.

To add a finder: its class in ``detection/`` (``deep/`` where it is a network), and its row here.
"""

from __future__ import annotations

from .parts import Inside, Listed, Row, Task

_WINDOWS = Inside(".detection:WindowFinder", "classifier", "channels")

_ROWS = (
    Row(
        "finder",
        "cascade",
        ".detection:CascadeFinder",
        'an OpenCV cascade, cascade[file="faces.xml"]; without a file scikit-image\'s LBP faces',
        "classical",
    ),
    Row(
        "finder",
        "facenet",
        ".detection:FaceNetFinder",
        'OpenCV\'s face network, facenet[file="yunet.onnx"]',
        "deep",
    ),
    Row("finder", "onnx", ".peers:OnnxBoxes", 'another\'s box detector, onnx[file="net.onnx"]', "peer"),
    Row(
        "finder",
        "centernet",
        ".deep:CentreNet",
        "a compact network with a deconvolution head: centres and boxes",
        "deep",
        quick={"max_epochs": 8, "input_px": 160},
        slow=True,
    ),
    Row("channel", "hog", ".detection:Cells", "gradient cells", "classical"),
    Row("channel", "acf", ".detection:Cells", "cells of gradients and colours", "classical", {"color": True}),
    Row(
        "classifier",
        "svm",
        "sklearn.svm:LinearSVC",
        "a linear SVM slid over the pyramid, with hard negatives",
        "classical",
        {"C": 0.01, "dual": False, "tol": 0.01},
        inside=_WINDOWS,
    ),
    Row(
        "classifier",
        "forest",
        "sklearn.ensemble:ExtraTreesClassifier",
        "extremely randomised trees slid over the pyramid, with hard negatives",
        "classical",
        {
            "n_estimators": 32,
            "max_depth": 9,
            "min_samples_leaf": 3,
            "max_features": 0.1,
            "class_weight": "balanced",
            "random_state": 0,
        },
        inside=_WINDOWS,
    ),
    Row("rule", "fused", ".detection:FusedFinder", "weighted box fusion", holds="members"),
    Row(
        "rule",
        "tiles",
        ".detection:TiledFinder",
        "the finder in overlapping tiles, for small objects",
        holds="members",
    ),
    Row(
        "rule",
        "judged",
        ".detection:JudgedFinder",
        "the last one, which slides a window, judges and corrects the others' boxes",
        holds="members",
    ),
    Row(
        "rule",
        "verify",
        ".deep:VerifiedFinder",
        "a small CNN judges and corrects the boxes",
        "deep",
        quick={"max_epochs": 4},
        holds="members",
        slow=True,
    ),
)

FINDERS = Task(
    "finders",
    start="finder",
    first="channel",
    last="classifier",
    rows=_ROWS,
    listed=(
        Listed("lbp-faces", "scikit-image's cascade of frontal faces, as it is", "cascade"),
        Listed("hog+svm", "gradient cells, a linear SVM slid over the pyramid (cf. Dalal & Triggs)"),
        Listed("acf+svm", "the same with colour"),
        Listed("hog+forest", "gradient cells, extremely randomised trees slid over the pyramid"),
        Listed("fused(hog+svm,centernet)", "weighted box fusion of a classical and a deep finder"),
        Listed("tiles(centernet)", "a network that looks at a picture in overlapping tiles: small objects"),
        Listed(
            "judged(centernet,hog+svm)",
            "the other way round: a network proposes, hog+svm judges and corrects",
        ),
        Listed(
            "verify(hog+svm)", "two stages: hog+svm proposes, a small CNN judges and corrects (cf. R-CNN)"
        ),
    ),
    nested={},
)

#: what ``hybridkp bench-finders`` runs without ``--finders``
FINDERS_DEFAULT = tuple(
    each.name for each in FINDERS.listed if each.name not in ("lbp-faces", "tiles(centernet)")
) + ("centernet",)
