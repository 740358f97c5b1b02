"""What several cameras give: points in space, and help for the detector in each picture.

    python benchmarks/views.py -o docs/results/views.json
    python benchmarks/views.py --quick

Sets: mouse_views (4 cameras, six stretches of time) and fly_views (6 cameras, two), each stretch left out
in turn over train and val.  A detector fitted on the others predicts it; what the fusion learns (how far
each camera's detector errs, which landmarks a camera sees) it learns from predictions of the other
stretches.  No camera, no rule and no threshold sees a label of the stretch that is judged.  A p-value needs
six groups.

Four tables: labels triangulated by two, three and all cameras against the given points and, left out,
against each other; the same of predictions; each picture's points before and after the other cameras
were heard, as they are and with one camera's pictures blurred; and a detector for each camera that is also
shown the crop that the next camera took at the same instant.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np

from hybridkp.datasets import group_folds, load_dataset
from hybridkp.evaluate import make_crops
from hybridkp.evaluate.crops import Crops
from hybridkp.imaging import to_picture
from hybridkp.memory.threads import limit_threads
from hybridkp.multiview import (
    Camera,
    Cameras,
    ViewFusion,
    Views,
    bundle_adjust,
    load_points,
    read_cameras,
    triangulate,
    views_of,
)
from hybridkp.multiview.point_files import truth_of
from hybridkp.recipes import make_method
from hybridkp.stats import ENOUGH_GROUPS, paired_difference
from hybridkp.structures import Array, DataWarning

SETS = {"mouse_views": ("sdm", "hog+ridge"), "fly_views": ("hog+ridge", "sdm")}
#: sets of which each camera has a detector of its own: its pictures look like no other's
OWN = ("fly_views",)
CROP = (96, 96)
DAMAGE = 6.0  #: px, the blur of the first camera's pictures, at test time
BESIDE, SHOWN = "hog+ridge", ("own", "next", "both")


def predicted(
    method: str, crops: Crops, tested: dict[str, Crops], cameras: Array
) -> dict[str, tuple[Array, Array]]:
    """Points in pictures and scores of each group by detectors of the others, for each kind of crops.

    Rows of one of ``cameras`` (B,) share a detector; landmarks that it never saw are NaN.
    """
    n, (b, k) = len(set(crops.groups.tolist())), crops.xy.shape[:2]
    out = {name: (np.full((b, k, 2), np.nan), np.zeros((b, k))) for name in tested}
    for train, test in group_folds(crops.groups, n, 0):
        for one in sorted(set(cameras.tolist())):
            mine, its = train[cameras[train] == one], test[cameras[test] == one]
            seen = np.flatnonzero(np.isfinite(crops.xy[mine]).all(2).any(0))
            truth, groups = crops.xy[mine][:, seen], crops.groups[mine]
            model = make_method(method).fit(crops.images[mine], truth, groups=groups)
            for name, these in tested.items():
                xy, score = model.predict_with_score(these.images[its])
                out[name][0][np.ix_(its, seen)] = to_picture(these.matrix[its], xy)
                out[name][1][np.ix_(its, seen)] = score
    return out


def by_view(views: Views, values: Array) -> Array:
    """(B, ...) of pictures as (T, V, ...); NaN where there is no picture."""
    out = values[views.sample].astype(float)
    out[views.sample < 0] = np.nan
    return out


def in_space(views: Views, truth: Array, label: str, score: bool = False) -> list[dict[str, Any]]:
    """Errors by how many cameras there are, over every choice of so many."""
    rows = []
    names, n = views.cameras.names, len(views.cameras)
    for size in sorted({2, 3, n}):
        found = []
        for chosen in combinations(names, size):
            part = views.subset(chosen)
            one = triangulate(part.flat, part.cameras, score=part.flat_score if score else None)
            apart = np.linalg.norm(one.xyz - truth.reshape(-1, 3), axis=1)
            able = (np.isfinite(part.flat).all(2).sum(0) >= 2) & np.isfinite(truth).all(2).ravel()
            if able.any():
                found.append((apart[able], one.left_out[np.isfinite(one.left_out)]))
        apart, left = (np.concatenate(parts) for parts in zip(*found, strict=True))
        good = apart[np.isfinite(apart)]
        row = {"points": label, "cameras": size, "choices": len(found)}
        row |= {"median": float(np.median(good)), "mean": float(good.mean())}
        row["found_percent"] = 100 * float(np.isfinite(apart).mean())
        row["left_out_px"] = float(np.median(left)) if size > 2 and len(left) else None
        rows.append(row)
    return rows


def adjusted(views: Views) -> dict[str, float]:
    """Left-out error of each group by cameras as given, and moved to fit the labels of the other groups."""
    before, after = [], []
    for group in sorted(set(views.groups.tolist())):
        mine = views.groups == group
        rest = np.moveaxis(views.xy[~mine], 1, 0).reshape(len(views.cameras), -1, 2)
        own = np.moveaxis(views.xy[mine], 1, 0).reshape(len(views.cameras), -1, 2)
        moved = bundle_adjust(rest, views.cameras).cameras
        for cameras, into in ((views.cameras, before), (moved, after)):
            left = triangulate(own, cameras).left_out
            into.append(left[np.isfinite(left)])
    return {
        "given_px": float(np.median(np.concatenate(before))),
        "moved_px": float(np.median(np.concatenate(after))),
    }


def helped(views: Views, said: tuple[Array, Array], told: tuple[Array, Array]) -> dict[str, Any]:
    """2-D errors before and after the others were heard; ``told`` is what the fusion learns on."""
    truth, groups = views.xy, views.groups
    xy, score, learn_xy, learn_score = (by_view(views, one) for one in (*said, *told))
    fused = np.full(truth.shape, np.nan)
    for group in sorted(set(groups.tolist())):
        mine, rest = groups == group, groups != group
        fusion = ViewFusion().fit(learn_xy[rest], learn_score[rest], truth[rest], views.cameras)
        fused[mine] = fusion.predict(xy[mine], score[mine], views.cameras)[0]
    errors = [np.linalg.norm(one - truth, axis=3) for one in (xy, fused)]
    means = [np.array([np.nanmean(e[t]) for t in range(len(truth))]) for e in errors]
    gap = paired_difference(means[1], means[0], groups)
    out = {"alone_px": float(means[0].mean()), "fused_px": float(means[1].mean())}
    out |= {"difference_px": gap.difference, "low": gap.low, "high": gap.high, "groups": gap.n_groups}
    out["p"] = gap.p if gap.n_groups >= ENOUGH_GROUPS else None
    out["by_group"] = {
        str(g): [float(m[groups == g].mean()) for m in means] for g in sorted(set(groups.tolist()))
    }
    return out


def blurred(crops: Crops, rows: Array) -> Crops:
    images = crops.images.copy()
    for i in np.flatnonzero(rows):
        images[i] = cv2.GaussianBlur(images[i], (0, 0), DAMAGE)
    return replace(crops, images=images)


def crops_beside(views: Views, crops: Crops) -> dict[str, Any]:
    """Errors of a camera's own detector by its own crop, by the next camera's, and by both side by side."""
    errors = {shown: np.full(views.sample.shape, np.nan) for shown in SHOWN}
    for v in range(len(views.cameras)):
        rows, others = views.sample[:, v], np.roll(views.sample, -1, axis=1)[:, v]
        at = np.flatnonzero((rows >= 0) & (others >= 0))
        own, other = crops.images[rows[at]], crops.images[others[at]]
        pictures = dict(zip(SHOWN, (own, other, np.concatenate([own, other], axis=2)), strict=True))
        seen = np.flatnonzero(np.isfinite(crops.xy[rows[at]]).all(2).any(0))
        xy, groups = crops.xy[rows[at]][:, seen], views.groups[at]
        for train, test in group_folds(groups, len(set(groups.tolist())), 0):
            for shown, images in pictures.items():
                model = make_method(BESIDE).fit(images[train], xy[train], groups=groups[train])
                found = to_picture(crops.matrix[rows[at[test]]], model.predict(images[test]))
                off = np.linalg.norm(found - views.xy[at[test], v][:, seen], axis=2)
                errors[shown][at[test], v] = np.nanmean(off, axis=1)
    means = {shown: np.nanmean(values, axis=1) for shown, values in errors.items()}
    gap = paired_difference(means["both"], means["own"], views.groups)
    out: dict[str, Any] = {"px": {shown: float(values.mean()) for shown, values in means.items()}}
    out |= {"difference_px": gap.difference, "low": gap.low, "high": gap.high, "groups": gap.n_groups}
    return out | {"method": BESIDE, "p": gap.p if gap.n_groups >= ENOUGH_GROUPS else None}


def one_set(name: str, methods: tuple[str, ...]) -> dict[str, Any]:
    folder = sets.data_root() / name
    dataset = load_dataset(folder)
    views = views_of(dataset, read_cameras(folder / "cameras.json"))
    truth = truth_of(load_points(folder / "points3d.npz"), views)
    crops = make_crops(dataset, CROP)
    document: dict[str, Any] = {"unit": views.cameras.unit or "units", "instants": len(views)}
    document["cameras"] = len(views.cameras)
    document["space"] = in_space(views, truth, "labels")
    document["adjusted"] = adjusted(views)
    document["crop_beside"] = crops_beside(views, crops)
    document["help"] = []
    seen_by = np.array([sample.view for sample in dataset])
    own = name in OWN
    document["detectors"] = "one for each camera" if own else "one for all cameras"
    damaged = blurred(crops, seen_by == views.cameras.names[0])
    for method in methods:
        tested = {"as they are": crops, "blurred": damaged}
        found = predicted(method, crops, tested, seen_by if own else np.zeros(len(crops), int))
        for what, said in found.items():
            its = {"method": method, "pictures": what, **helped(views, said, found["as they are"])}
            document["help"].append(its)
            print(f"{name} {method} {what}: {its['alone_px']:.2f} -> {its['fused_px']:.2f} px", flush=True)
        xy, score = (by_view(views, one) for one in found["as they are"])
        xy = np.where(np.isfinite(views.xy).any(0), xy, np.nan)  # landmarks that a camera never shows
        document["space"] += in_space(replace(views, xy=xy, score=score), truth, method, True)
    return document


def made_up() -> dict[str, Any]:
    """Exact cameras and points: a moment of everything."""
    rng = np.random.default_rng(0)
    turns = [cv2.Rodrigues(np.array([0.1 * i, 0.5 * i, 0.0]))[0] for i in range(3)]
    matrix = [[600, 0, 320], [0, 600, 240], [0, 0, 1]]
    cameras = Cameras(tuple(Camera(f"c{i}", matrix, None, r, [0, 0, 500]) for i, r in enumerate(turns)), "mm")
    space = rng.uniform(-60, 60, (12, 5, 3))
    xy = np.moveaxis(cameras.project(space.reshape(-1, 3)).reshape(3, 12, 5, 2), 0, 1)
    groups = np.array([f"g{t // 4}" for t in range(12)], dtype=object)
    sample = np.arange(36).reshape(12, 3)
    names = tuple(map(str, range(12)))
    views = Views(cameras, tuple("abcde"), np.zeros((0, 2), int), names, groups, xy, sample)
    said = xy.reshape(36, 5, 2) + rng.normal(0, 3, (36, 5, 2)), np.full((36, 5), 0.5)
    return {"space": in_space(views, space, "labels"), "help": [helped(views, said, said)]}


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", type=sets.names_of, default=list(SETS))
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with limit_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = {"made up": made_up()} if args.quick else {n: one_set(n, SETS[n]) for n in args.sets}
    sets.keep(args.output, {"sets": found, "command": "python benchmarks/views.py"})


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
