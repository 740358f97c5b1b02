"""Where annotated pictures come from: readers, splits, the linter, the synthetic faces; and pairs
of pictures with known homographies for the interest points.

One file per format; every reader gives a :class:`hybridkp.structures.Dataset` with lazy samples,
0-based points and NaN for what is not labelled.  Never here: learning, metrics, printing.
Importing this package imports none of the files: names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "BENCH_PICTURES": "bundled",
        "CORRUPTIONS": "corruptions",
        "Finding": "check",
        "Layout": "layouts",
        "TRAIN_PICTURES": "bundled",
        "bundled_picture": "bundled",
        "check_dataset": "check",
        "coco_document": "coco_writer",
        "corrupted": "corruptions",
        "describe_dataset": "info",
        "group_folds": "splits",
        "group_split": "splits",
        "load_dataset": "load",
        "load_pairs": "synthetic_pairs",
        "make_faces": "synthetic",
        "make_pairs": "synthetic_pairs",
        "read_coco": "coco",
        "read_hpatches": "hpatches",
        "read_pts": "pts",
        "read_pts_folder": "pts",
        "recognise": "layouts",
        "split_names": "load",
        "training_pictures": "bundled",
        "write_coco": "coco_writer",
    },
)
