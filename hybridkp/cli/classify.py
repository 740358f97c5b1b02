"""``hybridkp classify``: classes of objects from pictures, sound and text, each sense alone and fused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..structures import InputError, as_batch
from .display import OK, Bar, show_page, told_of
from .options import DATA, READER, count, methods, names, reading, results_folder, shared

NAME = "classify"
HELP = "tell classes of objects apart by picture, sound and text, alone and fused"
EXAMPLES = """\
  hybridkp classify grid_av --label word --only bin,lay,place,set --inputs image:sound
  hybridkp classify grid_av --apart p62,p66,0.06 --inputs image:sound --out runs/mouth
  hybridkp classify photos --labels classes.csv --methods "svm,forest"
  hybridkp classify grid_av --label word --only red,blue,green,white \\
      --methods "svm[inputs=sound],stack(svm[inputs=image],svm[inputs=sound])"
Every object is judged by a model that never saw its group (film, person, photograph). A run that was
stopped goes on when the same command is given again."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help=DATA)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--label", metavar="FIELD", help="text field of the annotation's pictures that names the class"
    )
    which.add_argument("--labels", type=Path, metavar="CSV", help="table of picture and class")
    which.add_argument(
        "--apart",
        type=names,
        metavar="I,J,RATIO",
        help="the class is whether two landmarks lie further apart than RATIO normalisers",
    )
    parser.add_argument("--only", type=names, metavar="A,B", help="these classes alone, in this order")
    parser.add_argument(
        "--inputs",
        metavar="a:b",
        help="senses of methods that name none (default: the picture, and sound and text where there are)",
    )
    parser.add_argument(
        "--methods",
        type=methods,
        metavar="A,B",
        help='as in "hybridkp list --task classes" (default: each sense alone, and fused early and late)',
    )
    parser.add_argument("--split", help="judge this part by one training on the others, instead of folds")
    parser.add_argument(
        "--folds", type=count, metavar="N", help="folds of groups (default: each of up to 30 groups in turn)"
    )
    parser.add_argument(
        "--crop", type=count, metavar="PX", default=96, help="side of the square crops, px (default 96)"
    )
    parser.add_argument(
        "--margin", type=float, metavar="RATIO", default=1.0, help="crop side / box side (default 1)"
    )
    parser.add_argument("--max-val", type=count, metavar="N", help="so many pictures, evenly chosen")
    shared(parser, "--seed", *READER)
    parser.add_argument("-o", "--out", type=Path, help="folder (default hybridkp-out/<data>-classes)")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..report import write_classes_report

    if args.split and args.folds:
        raise InputError("--split trains once, --folds in turn: give one of the two")
    objects = _objects(args)
    chosen = [recipes.canonical(name, "classes") for name in args.methods or _usual(objects.inputs)]
    made = {
        name: _with_inputs(recipes.make_classifier(name), objects, name) for name in dict.fromkeys(chosen)
    }
    out = results_folder(args, "-classes")
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    with Bar("fold", sparse=True) as bar:
        found = evaluate.classify(
            made,
            objects.batch,
            objects.labels,
            objects.groups,
            objects.names,
            out=out,
            held_out=objects.held_out,
            folds=args.folds,
            classes=args.only or (),
            data=objects.data,
            fingerprint=objects.fingerprint,
            seed=args.seed,
            settings={"inputs": ":".join(objects.inputs), "crop": args.crop, "margin": args.margin},
            progress=bar,
        )
    paths = write_classes_report(
        found,
        out,
        notes=_notes(objects),
        **told_of(made, "classes"),
    )
    show_page(paths)
    return OK


def _notes(objects: Any) -> list[str]:
    out = [
        "Every object was judged by a model that never saw its group."
        f" Senses of methods that name none: {', '.join(objects.inputs)}."
    ]
    if objects.named:
        out.append(
            f"The text of {100 * objects.named:.0f} % of the objects holds the name of their class: methods"
            " that read it are given the answer."
        )
    return out


def _objects(args: argparse.Namespace) -> Any:
    from ..evaluate import apart_by, class_rows, tagged_by

    if args.label:
        label: Any = tagged_by(args.label)
    elif args.labels:
        label = args.labels
    else:
        label = apart_by(args.apart)
    return class_rows(
        args.data,
        label,
        inputs=args.inputs.split(":") if args.inputs else None,
        only=args.only,
        split=args.split,
        size_hw=(args.crop, args.crop),
        margin=args.margin,
        most=args.max_val,
        **reading(args),
    )


def _usual(inputs: list[str]) -> list[str]:
    """The floor, each sense alone, and all of them fused early and late."""
    both, alone = ":".join(inputs), [f"svm[inputs={sense}]" for sense in inputs]
    out = ["prior", *alone, *(f"forest[inputs={sense}]" for sense in inputs)]
    if len(inputs) > 1:
        out += [f"svm[inputs={both}]", f"forest[inputs={both}]"]
        out += [f"{rule}({','.join(alone)})" for rule in ("average", "product", "stack")]
    return out


def _with_inputs(method: Any, objects: Any, name: str) -> Any:
    """The senses that the command names, for a classifier that names none itself."""
    facts = method.get_params(deep=True)
    keys = [key for key in facts if key.split("__")[-1] == "inputs"]
    if "inputs" not in name:
        return method.set_params(**dict.fromkeys(keys, tuple(objects.inputs)))
    loaded = as_batch(objects.batch).modalities
    read = [sense for key in keys for sense in ([facts[key]] if isinstance(facts[key], str) else facts[key])]
    further = [sense for sense in dict.fromkeys(read) if sense not in loaded]
    if further:
        wanted = ":".join([*objects.inputs, *further])
        raise InputError(f"{name}: reads {', '.join(further)}, which is not loaded: give --inputs {wanted}")
    return method
