"""The parts of the landmark task, a row each, and its well-known methods.

To add a descriptor, a network, a step or a rule: its class in its room, and its row here.
"""

from __future__ import annotations

from typing import Any

from .parts import Inside, Listed, Row, Task

#: what a point reads once it is nearly right: closer places, and the wide ring for the company it keeps
_FINE = ((0, 1, 1.0), (3, 8, 1.0), (7, 8, 2.0), (14, 8, 3.5))
#: a training of half a minute on one core: smaller pictures, fewer of them
_SHORT: dict[str, Any] = {"input_px": 64, "max_epochs": 8, "epoch_pictures": 500}
#: ten minutes on one core for 1800 pictures of 128 px
_LONG: dict[str, Any] = {"max_epochs": 60, "patience": 20}
_FOREST: dict[str, Any] = {"max_depth": 10, "min_samples_leaf": 3, "max_features": "sqrt", "random_state": 0}
_TRAINING: dict[str, list[Any]] = {
    "learning_rate": [5e-4, 1e-3, 2e-3, 3e-3, 5e-3],
    "weight_decay": [1e-3, 1e-2, 2e-2, 5e-2],
}
_MAP_SPACE = {**_TRAINING, "sigma": [0.8, 1.2, 1.8]}

#: experts that look point by point; two levels and at most 800 pictures where a part of them is slow
_EXPERTS = Inside(
    ".landmarks:PatchDetector",
    "classifier",
    "descriptor",
    slow={"scales": (0.5, 1.0), "max_pictures": 800},
    space={"n_negatives": [2, 4, 8], "n_hard": [1, 2, 4], "mirror": [False, True]},
)
#: a refiner learns from the out-of-fold points of what stands before it
_REFINED = Inside(".fusion:Refined", "refiner", "detector", {"cv": 2})
_MAPS = (".structures:ScoreMaps", "score maps")
#: a backbone by itself reads points from maps; the textbook's, from full connections
_HEATMAP = Inside(".deep:HeatmapNet", "backbone", space=_MAP_SPACE)
_DIRECT = Inside(".deep:DirectNet", "backbone", space=_TRAINING)

_STARTS = (
    Row("start", "mean-shape", ".landmarks:MeanShape", "the mean training shape: the floor", "floor"),
    Row(
        "start",
        "hog+ridge",
        ".landmarks:HolisticRegressor",
        "ridge regression from HOG of the whole crop",
        "classical",
        parameters={"alpha": 100.0},
        space={"alpha": [10.0, 30.0, 100.0, 300.0, 1000.0], "grid": [8, 12, 16, 20]},
    ),
    Row(
        "start",
        "sdm",
        ".landmarks:FastCascade",
        "cascaded regression on gradient channels, milliseconds",
        "classical",
        # as `hybridkp tune` chose on folds of faces, with as many trials as the network had
        {"alpha": 0.14, "scales": (0.5, 0.5, 1.0, 1.0, 1.25), "n_perturbations": 1},
        space={
            "alpha": [0.02, 0.04, 0.07, 0.14, 0.28],
            "scales": [[0.5, 0.5, 1.0, 1.0], [0.5, 0.75, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0, 1.25]],
            "n_perturbations": [0, 1, 2],
        },
    ),
    Row(
        "start",
        "sdm-hog",
        ".landmarks:CascadedRegressor",
        "cascaded regression on HOG (supervised descent)",
        "classical",
        space={
            "alpha": [30.0, 100.0, 300.0, 1000.0],
            "scales": [[0.7, 1.0, 1.25, 1.25], [0.5, 0.7, 1.0, 1.25], [0.7, 1.0, 1.25, 1.25, 1.25]],
            "n_levels": [1, 2],
        },
    ),
    Row(
        "start",
        "lbf",
        ".landmarks:LocalBinaryFeatures",
        "cascaded regression on the leaves of small forests",
        "classical",
        quick={"n_trees": 3, "max_depth": 4},
        space={
            "alpha": [1.0, 2.0, 3.0, 5.0],
            "n_trees": [4, 5, 8],
            "max_depth": [4, 5],
            "n_perturbations": [0, 1, 2],
        },
    ),
    Row(
        "start",
        "hough-forest",
        ".landmarks:HoughForest",
        "regression-forest votes and a shape model",
        "classical",
        quick={"max_pictures": 400, "n_samples": 4},
        space={
            "smoothing": [1.0, 1.5, 2.5],
            "n_samples": [4, 8, 12],
            "scales": [[0.5, 1.0], [0.5, 0.75, 1.0]],
            "mirror": [False, True],
        },
    ),
    Row(
        "start",
        "patch-cnn",
        ".deep:PatchCNN",
        "patch experts that are one small CNN",
        "deep",
        {"max_epochs": 6},
        quick={"max_epochs": 4, "epoch_pictures": 500},
        space={**_TRAINING, "n_passes": [3, 5, 8], "window": [0.02, 0.03, 0.05]},
        slow=True,
    ),
    *(
        Row("start", name, f".deep:{target}", about, "deep", _LONG, quick=_SHORT, space=space, slow=True)
        for name, target, about, space in (
            ("heatmap", "HeatmapNet", "heat-map network, its maps read at their means or modes", _MAP_SPACE),
            ("direct", "DirectNet", "direct coordinate regression by a small CNN", _TRAINING),
            (
                "simcc",
                "SimCCNet",
                "coordinate classification: a distribution over columns and one over rows",
                _TRAINING,
            ),
        )
    ),
    Row(
        "start",
        "dlib",
        ".peers:DlibShapePredictor",
        "dlib's shape predictor with its default options (extra: peers)",
        "peer",
        quick={"cascade_depth": 5, "num_trees_per_cascade_level": 100, "oversampling_amount": 10},
        space={
            "nu": [0.05, 0.1, 0.2],
            "tree_depth": [3, 4, 5],
            "oversampling_translation_jitter": [0.0, 0.05, 0.1],
            "feature_pool_region_padding": [0.0, 0.1],
        },
    ),
    Row("start", "onnx", ".peers:OnnxLandmarks", 'another\'s network, onnx[file="net.onnx"]', "peer"),
    Row("start", "program", ".peers:ProgramPoints", 'another\'s program, program[command="..."]', "peer"),
    Row(
        "start",
        "predictions",
        ".peers:StoredPoints",
        'another\'s predictions, predictions[file="theirs.json"]',
        "peer",
    ),
)

#: they read other senses than the picture, and are not in the list of what pictures can be given to
_SENSES = (
    Row(
        "start",
        "rows",
        ".landmarks:SenseRegressor",
        "ridge regression or a forest on the rows of several senses side by side",
        "classical",
        quick={"n_trees": 30},
    ),
    Row(
        "start",
        "words",
        ".landmarks:WordDetector",
        "lines of text: which line, and where at it",
        "classical",
        {"n_trees": 200},
        quick={"n_trees": 50},
    ),
)

_EXPERT_PARTS = (
    Row("descriptor", "hog", ".descriptors:HOG", "HOG", "classical", light={"cells": 5}),
    Row("descriptor", "sift", ".descriptors:SIFT", "SIFT", "classical", slow=True),
    Row("descriptor", "orb", ".descriptors:ORB", "ORB bits", "classical", slow=True),
    Row("descriptor", "surf", ".descriptors:SURF", "our SURF", "classical", {"size_px": 16}, slow=True),
    Row(
        "descriptor",
        "surf-upright",
        ".descriptors:SURF",
        "our SURF, upright",
        "classical",
        {"upright": True, "size_px": 16},
        slow=True,
    ),
    Row(
        "descriptor",
        "surf-upright-128",
        ".descriptors:SURF",
        "our SURF, upright, of 128 numbers",
        "classical",
        {"upright": True, "extended": True, "size_px": 16},
        slow=True,
    ),
    Row(
        "descriptor",
        "hog-3-levels",
        ".descriptors:MultiLevel",
        "HOG of three levels",
        "classical",
        {"descriptor": "hog", "levels": (0, 1, 2)},
        around={"n_levels": 3},
        slow=True,
    ),
    Row(
        "descriptor",
        "multi-level",
        ".descriptors:MultiLevel",
        "a descriptor of several levels, fused",
        "classical",
        {"descriptor": "sift", "levels": (0, 1, 2), "fusion": "average"},
        around={"n_levels": 3},
        space={"falloff": [0.25, 0.5, 1.0, 2.0, 4.0]},
        slow=True,
    ),
    Row(
        "descriptor",
        "cnn",
        ".deep:CNNEmbedding",
        "rows of a small CNN",
        "deep",
        {"max_epochs": 5},
        quick={"max_epochs": 4, "epoch_pictures": 500},
        slow=True,
    ),
    Row(
        "reducer",
        "pca",
        "sklearn.decomposition:PCA",
        "principal components",
        parameters={"n_components": 0.95},
    ),
    Row(
        "classifier",
        "svm",
        "sklearn.svm:LinearSVC",
        "linear SVMs",
        "classical",
        {"C": 0.01, "dual": False, "tol": 1e-2},
        inside=_EXPERTS,
        optional=True,
    ),
    Row(
        "classifier",
        "forest",
        "sklearn.ensemble:ExtraTreesClassifier",
        "extremely randomised trees",
        "classical",
        {"n_estimators": 24, **_FOREST},
        quick={"n_estimators": 12, **_FOREST},
        space={"max_depth": [8, 10, 14], "min_samples_leaf": [1, 3, 10], "max_features": ["sqrt", 0.2]},
        inside=_EXPERTS,
        slow=True,
    ),
)

_STEPS = (
    Row(
        "step",
        "flip",
        ".fusion:MirrorAverage",
        "the picture and its mirror image",
        holds="detector",
        changes=True,
    ),
    Row(
        "step",
        "looks",
        ".fusion:SeveralLooks",
        "score maps of the crop turned and sized a little, averaged",
        holds="detector",
        needs=(".structures:HeldOutMaps", "score maps and groups kept out of its training"),
        changes=True,
    ),
    Row(
        "step",
        "linear",
        ".fusion:LinearMap",
        "a linear map from another's points to these landmarks",
        "peer",
        holds="detector",
        needs=(".structures:Peer", "points of its own"),
    ),
    Row(
        "step",
        "tree",
        ".fusion:PictorialStructure",
        "score maps and a tree of landmarks: pictorial structures",
        "classical",
        holds="detector",
        needs=_MAPS,
    ),
    Row(
        "step",
        "sdm",
        ".landmarks:FastCascade",
        "two fine stages of cascaded regression",
        "classical",
        {"scales": (1.0, 1.25), "rings": _FINE, "clip": 2.0, "cv": 2},
        holds="start",
    ),
    Row(
        "step",
        "cnn",
        ".deep:CNNRefiner",
        "a CNN on patches around the points",
        "deep",
        {"max_epochs": 8},
        quick={"max_epochs": 6, "epoch_pictures": 500},
        inside=_REFINED,
        slow=True,
    ),
    Row(
        "step",
        "augment",
        ".landmarks:Augmented",
        "also taught turned, sized and moved copies of the crops",
        holds="detector",
    ),
    Row(
        "step",
        "covariance",
        ".fusion:WithCovariance",
        "says how far off each point may be, and in which direction",
        holds="detector",
    ),
    Row(
        "step",
        "presence",
        ".landmarks:WithPresence",
        "says whether the crop holds an object; scores fall where it does not",
        holds="detector",
        changes=True,
    ),
    Row(
        "step",
        "upright",
        ".landmarks:Upright",
        "objects at any angle: turns the crop upright first",
        holds="detector",
        needs=(".structures:Presence", "presence"),
        changes=True,
    ),
    Row(
        "step", "subpixel", ".landmarks:SubpixelRefiner", "a classical refiner", "classical", inside=_REFINED
    ),
    Row("step", "ink", ".landmarks:InkRefiner", "corners of lines of print", "classical", inside=_REFINED),
)

_RULES = (
    Row("rule", "average", ".fusion:Average", "mean", holds="members"),
    Row(
        "rule",
        "product",
        ".fusion:MapFusion",
        "product of score maps, Gaussians around points where there are none",
        parameters={"how": "product"},
        holds="members",
    ),
    Row("rule", "vote", ".fusion:WeightedVote", "weighted vote", parameters={"guard": True}, holds="members"),
    Row("rule", "gated", ".fusion:GatedVote", "vote weighed by scores and agreement", holds="members"),
    Row(
        "rule",
        "gate",
        ".fusion:SenseGate",
        "vote of the members whose senses work: depth, sound or text may fail",
        holds="members",
    ),
    Row("rule", "stack", ".fusion:Stacking", "ridge over the points", holds="members"),
    Row(
        "rule step", "shape", ".fusion:ShapeVote", "a Gaussian model of shapes", "classical", holds="members"
    ),
)

_SQUARES: dict[str, Any] = {"input_px": 160, "max_epochs": 10, "epoch_pictures": 240}
#: whole pictures in, all objects out: no finder stands in front of them
_PICTURES = (
    *(
        Row("picture", name, f".deep:{target}", about, "deep", quick=_SQUARES, slow=True)
        for name, target, about in (
            (
                "paf",
                "PartFieldNet",
                "bottom-up: heat maps and part affinity fields of whole pictures (cf. OpenPose)",
            ),
            (
                "onestage",
                "OneStageNet",
                "one stage: centres of whole pictures with a box and all points each (cf. CenterNet)",
            ),
        )
    ),
)

#: each the backbone of any network, and with a head of its own a start
_NETWORKS = (
    *(
        Row("backbone start", name, target, about, "deep", _LONG, _SHORT, inside=inside, slow=True)
        for name, target, about, inside in (
            ("plain", ".deep.networks:Plain", "textbook CNN: convolutions and pooling", _DIRECT),
            ("deconv", ".deep.networks:Deconv", "residual network, transposed convolutions", _HEATMAP),
            ("unpool", ".deep.networks:Unpool", "max-pooling, and max-unpooling back", _HEATMAP),
            ("hourglass", ".deep.networks:Hourglass", "stacked hourglasses, a loss each", _HEATMAP),
            ("hrnet", ".deep.networks:HRNet", "parallel resolutions with exchange", _HEATMAP),
            ("pyramid", ".deep.networks:Pyramid", "a trunk per pyramid level, fused", _HEATMAP),
        )
    ),
    Row("backbone", "unet", ".deep.networks:UNet", "U-shaped network, that of heatmap", "deep"),
    Row("backbone", "encoder", ".deep.networks:Encoder", "residual network, that of direct", "deep"),
    Row("backbone", "dense", ".deep.networks:Dense", "local features without context", "deep"),
)

_OTHERS = (
    *(
        Row(
            "maps",
            level,
            ".deep:HeatmapFeatures",
            about,
            "deep",
            {"level": level, "net": "heatmap"},
            slow=True,
        )
        for level, about in (
            ("encoder", "a network's maps of what is near"),
            ("decoder", "a network's maps of the whole picture"),
        )
    ),
)

_LISTED = (
    Listed("sdm-fast", "the fast cascade, by its older name", "sdm"),
    Listed("hog+svm", "dense HOG patch experts, linear SVMs, shape model"),
    Listed("hog+forest", "HOG patch experts, extremely randomised trees"),
    Listed("sift+svm", "SIFT patch experts, linear SVMs"),
    Listed("surf-upright+forest", "our SURF, upright, with extremely randomised trees"),
    Listed("orb+forest", "ORB bits with extremely randomised trees"),
    Listed("sift-hog+svm", "SIFT and HOG concatenated, linear SVMs"),
    Listed("hog-cnn+svm", "HOG and a CNN embedding concatenated, linear SVMs"),
    Listed("heatmap-96", "the heat-map network on pictures of 96 px: quicker", "heatmap[input_px=96]"),
    Listed("heatmap-80", "the same on pictures of 80 px: quicker still", "heatmap[input_px=80]"),
    Listed("unet", "the U-shaped network: heatmap, by its backbone's name", "heatmap"),
    Listed("heatmap-flip", "heatmap on the picture and its mirror image", "heatmap:flip"),
    Listed("deeppose", "direct, then a CNN on patches around its points (cf. DeepPose)", "direct:cnn"),
    Listed("heatmap:flip:sdm", "heatmap-flip, then two stages of cascaded regression"),
    Listed("heatmap:flip:tree", "heatmap-flip's maps and a tree of landmarks: pictorial structures"),
    Listed("heatmap:flip:shape", "heatmap-flip, then a Gaussian model of shapes"),
    Listed("heatmap:flip:tree:shape:sdm", "tree, shapes and sdm, each where it pays"),
    Listed(
        "blend",
        "heatmap:flip:sdm and sdm, three to one: two cascades from different starts",
        # as a fold of train has it: learned weights would need folds within folds
        "average[weights=3:1](heatmap:flip:sdm,sdm)",
    ),
    Listed(
        "heatmap:flip:sdm[maps=encoder]",
        "heatmap-flip, then stages of regression that read the network's maps too",
    ),
    Listed("heatmap[input_px=96]:sdm", "heatmap-96, then two stages of cascaded regression"),
    Listed("sdm:cnn", "sdm, then a CNN that refines its points"),
    Listed("hog+svm:cnn", "hog+svm, then a CNN that refines its points"),
    Listed("hog+svm:subpixel", "hog+svm, then a classical refiner"),
    Listed("average", "plain mean of sdm and heatmap-flip", "average(sdm,heatmap:flip)"),
    Listed(
        "product",
        "product of heatmap-flip's maps and Gaussians around the points of sdm",
        "product(sdm,heatmap:flip)",
    ),
    Listed("vote", "weighted vote of sdm and heatmap-flip", "vote(sdm,heatmap:flip)"),
    Listed("vote-3", "weighted vote of sdm, heatmap-flip and hog+svm", "vote(sdm,heatmap:flip,hog+svm)"),
    Listed("vote-gated", "the same vote, weighed by scores and agreement", "gated(sdm,heatmap:flip)"),
    Listed("vote-shape", "sdm, heatmap-flip and a Gaussian model of shapes", "shape(sdm,heatmap:flip)"),
    Listed("stack", "ridge over the points of sdm and heatmap-flip", "stack(sdm,heatmap:flip)"),
)

LANDMARKS = Task(
    "landmarks",
    start="start",
    pictures="picture",
    first="descriptor",
    last="classifier",
    rows=(*_STARTS, *_SENSES, *_PICTURES, *_NETWORKS, *_EXPERT_PARTS, *_STEPS, *_RULES, *_OTHERS),
    listed=_LISTED,
    nested={
        "start": "start",
        "backbone": "backbone",
        "net": "start",
        "maps": "maps",
        "descriptor": "descriptor",
    },
)

#: what ``hybridkp bench`` runs with ``--quick``; longest first, so that two processes end together
QUICK: tuple[str, ...] = (
    *("heatmap", "vote", "heatmap:flip:sdm", "sdm", "hog+svm"),
    *("direct", "hog+ridge", "mean-shape"),
)
#: what it runs without ``--methods``: all of the list once, but a peer, a control and the zoo of networks
DEFAULT: tuple[str, ...] = (
    *(row.name for row in _STARTS if row.family != "peer"),
    *(each.name for each in _LISTED if each.name not in ("sdm-fast", "unet", "hog+svm:subpixel")),
)
