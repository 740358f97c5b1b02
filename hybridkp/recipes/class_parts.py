"""The parts of classifiers of objects, a row each, and the well-known ones: the task ``classes``.

To add a classifier: its row here; a sense's rows have theirs in :data:`hybridkp.multimodal.rows.MAKERS`.
"""

from __future__ import annotations

from .parts import Inside, Listed, Row, Task

_SENSES = Inside(".multimodal:SenseClassifier", "classifier")

_ROWS = (
    Row(
        "start",
        "svm",
        "sklearn.svm:SVC",
        "SVM with a Gaussian kernel on the senses' rows",
        "classical",
        {"C": 10.0},
        inside=_SENSES,
        space={"C": [1.0, 10.0, 100.0]},
    ),
    Row(
        "start",
        "linear-svm",
        "sklearn.svm:LinearSVC",
        "linear SVM on the senses' rows",
        "classical",
        {"C": 1.0, "class_weight": "balanced"},
        inside=_SENSES,
    ),
    Row(
        "start",
        "forest",
        "sklearn.ensemble:ExtraTreesClassifier",
        "extremely randomised trees on the senses' rows",
        "classical",
        {"n_estimators": 200, "class_weight": "balanced", "random_state": 0},
        inside=_SENSES,
    ),
    Row(
        "start",
        "ridge",
        "sklearn.linear_model:RidgeClassifier",
        "ridge regression on the senses' rows",
        "classical",
        {"alpha": 1.0, "class_weight": "balanced"},
        inside=_SENSES,
    ),
    Row(
        "start",
        "prior",
        "sklearn.dummy:DummyClassifier",
        "the most frequent class, whatever the senses say",
        "floor",
        {"strategy": "prior"},
        inside=_SENSES,
    ),
    Row(
        "start",
        "tcn",
        ".deep:TemporalNet",
        "temporal convolution, of tracks alone",
        "deep",
        quick={"max_epochs": 2, "epoch_pictures": 1},
        space={"width": [32, 64], "dropout": [0.2, 0.4]},
        slow=True,
    ),
    Row("rule", "average", ".multimodal:ClassVote", "mean of the probabilities", holds="members"),
    *(
        Row("rule", how, ".multimodal:ClassVote", about, parameters={"how": how}, holds="members")
        for how, about in (
            ("product", "product of the probabilities"),
            ("gated", "mean of the probabilities weighted by how sure each is"),
            ("stack", "logistic regression on the members' probabilities"),
        )
    ),
)

CLASSES = Task(
    "classes",
    start="start",
    first="descriptor",
    last="classifier",
    rows=_ROWS,
    listed=(
        Listed("svm[inputs=image:sound]", "early fusion: rows of picture and sound side by side"),
        Listed("average(svm[inputs=image],svm[inputs=sound])", "late fusion: one SVM a sense"),
        Listed("stack(svm[inputs=image],svm[inputs=sound])", "late fusion, its weights learned"),
    ),
    nested={},
)
