"""The page docs/methods.md: every part, every short name, and what became of the names before the grammar.

    python benchmarks/methods_page.py            # writes the page
    python benchmarks/methods_page.py --check    # fails where it would change

What the names before the grammar meant is kept in docs/results/old_recipes.json, as class names and
parameters.  A name counts as equal when its expression makes the same classes with the same parameters.  How
members are called makes no difference, nor whether a parameter has moved into a nested one, has got another
name, or came later with a value that changes nothing: the tables below say which.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import landmark_sets as sets

from hybridkp import recipes

ROOT = Path(__file__).parents[1]
OLD = ROOT / "docs" / "results" / "old_recipes.json"
PAGE = ROOT / "docs" / "methods.md"

#: a class that only groups parameters of the one around it
GROUP = "Schedule"
#: (class, parameter) -> its name today
RENAMED = {
    ("CNNRefiner", "n_looks"): "n_steps",
    ("PictorialStructure", "trust"): "powers",
    ("NetFeature", "backend"): "engine",
}
#: parameters that came later, at the values that leave everything as it was
LATER = {
    *(("backbone", "unet"), ("backbone", "encoder"), ("features", "hog"), ("loss", "peak"), ("loss", "wing")),
    *(
        ("warm_up", 0.05),
        ("clip_norm", 5.0),
        ("minutes", None),
        ("clock", "wall"),
        ("initial", None),
        ("teacher", None),
        ("turns", 0.0),
        ("vary", 1.0),
        ("average", 0.0),
        ("precision", "float32"),
        ("guide", "homography"),
        ("inputs", ("image",)),
        ("dropout", 0.25),
    ),
}

HEAD = """\
# Methods are expressions

```
method  = [ finder "/" ] chain                       chain = start { ":" step }
start   = part | experts | rule "(" method { "," method } ")"
experts = descriptor { "-" descriptor } [ "+" reducer ] "+" classifier
part    = name [ "[" key "=" value { "," key "=" value } "]" ]
value   = number | name | "text" | value { ":" value } | method
```

`hog+svm` is a descriptor and a classifier, `heatmap:flip:sdm` a start and two steps, `vote(sdm,heatmap)` a
rule over two members, `heatmap[input_px=64]` a part with a parameter.  The longest known name wins: `sdm-hog`
is one name, `sift-hog` are two.  Brackets hold a parameter of the part, or the only one of that name inside.
Write expressions with brackets in quotes: `hybridkp bench faces68 --methods "vote(sdm,heatmap:flip)"`.
In Python: `hybridkp.make_method("heatmap[input_px=64]:sdm")`.  For interest points, experts are a detector
and a descriptor: `hybridkp bench-points --methods "orb+beblid[rule=ratio]:net:grid"`.

With `--quick` a part trains shorter, unless the expression writes the parameter out.  A search varies what
the parts name, each in its place, but not what is written out; what has nothing to vary is said.
"""


def plain(value: Any) -> Any:
    """An estimator as class names and parameters, JSON's types alone."""
    if hasattr(value, "get_params"):
        names = inspect.signature(type(value)).parameters.items()
        own = {k: plain(getattr(value, k)) for k, p in names if p.kind is not p.VAR_KEYWORD and k != "args"}
        return {"class": type(value).__name__, "params": own}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def leaves(tree: Any, key: str = "", owner: str = "") -> Iterator[tuple[str, str, Any]]:
    """(class, parameter, value) of a plain tree, and (class, "", "") of each estimator; no members' names."""
    if isinstance(tree, dict):
        if tree["class"] != GROUP:
            owner = tree["class"]
            yield owner, "", ""
        for name, value in tree["params"].items():
            yield from leaves(value, RENAMED.get((owner, name), name), owner)
    elif isinstance(tree, list) and any(isinstance(v, dict | list) for v in tree):
        pair = len(tree) == 2 and isinstance(tree[0], str)
        for value in tree[1:] if pair else tree:
            yield from leaves(value, key, owner)
    else:
        yield owner, key, tuple(tree) if isinstance(tree, list) else tree


def apart(row: dict[str, Any]) -> dict[str, str]:
    """Where an old name and its expression differ: "long" or "quick" -> the parameters."""
    out = {}
    for which, was in ({"quick": row["was"]["long"]} | row["was"]).items():
        if row["task"] == "points":
            if which == "quick":
                continue
            made = recipes.make_matcher(row["expression"])
        else:
            made = recipes.make_method(row["expression"], quick=which == "quick")
        before, after = Counter(leaves(was)), Counter(leaves(plain(made)))
        came = {leaf for leaf in after - before if leaf[1:] not in LATER}
        changed = [f"{c}.{k}={v}" if k else c for c, k, v in sorted({*(before - after), *came}, key=repr)]
        if changed:
            out[which] = ", ".join(changed)
    return out


def old_names() -> list[dict[str, Any]]:
    """The names before the grammar: task, name, expression, what it was, and why that differs if it does."""
    found: list[dict[str, Any]] = json.loads(OLD.read_text(encoding="utf-8"))
    return found


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ("---",) * len(heads), *rows))


def page() -> str:
    out = [HEAD]
    for task, title in (("landmarks", "Landmarks"), ("points", "Interest points")):
        parts = [(line.slot, f"`{line.name}`", line.about) for line in recipes.parts_table(task)]
        methods = [
            (
                f"`{line.name}`",
                "" if line.name == line.definition else f"`{line.definition}`",
                line.family,
                line.about,
            )
            for line in recipes.methods_table(task)
        ]
        out.append(f"## {title}: parts\n\n{table(('slot', 'name', 'what it is'), parts)}\n")
        heads = ("method", "short for", "family", "what it is")
        out.append(f"## {title}: well-known methods\n\n{table(heads, methods)}\n")
    rows = [
        (f"`{row['name']}`", f"`{row['expression']}`", row.get("why_not", "equal")) for row in old_names()
    ]
    out.append(
        f"## Names before the grammar\n\n{table(('old name', 'expression', 'equal, or why not'), rows)}\n"
    )
    out.append("Made by `benchmarks/methods_page.py`.\n")
    return "\n".join(out)


def main() -> int:
    parser = sets.parser(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
