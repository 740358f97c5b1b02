"""A tiny method for every part of the landmarks' grammar, from its table, and what a fit of it gives.

``python tests/every_part.py`` prints JSON: method -> a digest of its model file and predictions.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hybridkp import memory, recipes
from hybridkp.checks import make_problem
from hybridkp.evaluate.worker import fit
from hybridkp.files import save_model
from hybridkp.memory.threads import FIT_THREADS, limit_threads
from hybridkp.structures import InputError

TINY = {"max_epochs": 1, "epoch_pictures": 16, "input_px": 32, "n_trees": 4, "n_estimators": 8}
#: slot -> methods with a part of it; the first that can be made is taken
FORMS = {
    "start": ["{}"],
    "backbone": ["heatmap[backbone={}]"],
    "descriptor": ["{}+svm"],
    "reducer": ["hog+{}+svm"],
    "classifier": ["hog+{}"],
    "step": ["hog+ridge:{}", "hog+svm:{}", "heatmap:{}", "hog+ridge:presence:{}"],
    "rule": ["{}(hog+ridge,mean-shape)", "{}(hog+svm,heatmap)", "{}(hog+ridge)"],
    "maps": ["heatmap:sdm[maps={}]"],
}


#: parts that do nothing without a file of the user's, or another sense; starts that take whole pictures
#: are not here either
FILES = ("onnx", "program", "predictions", "linear", "aliked", "disk", "lightglue", "words")


def methods() -> list[str]:
    lines = [x for x in recipes.parts_table() if x.name not in FILES and x.slot != "picture"]
    return list(dict.fromkeys(_first(FORMS[line.slot], line.name) for line in lines))


def _first(forms: list[str], name: str) -> str:
    for form in forms:
        try:
            recipes.make_method(form.format(name), quick=True)
            return form.format(name)
        except InputError as error:
            why = error
    raise why


def tiny(name: str) -> Any:
    made = recipes.make_method(name, quick=True)
    known = made.get_params(deep=True)
    return made.set_params(**{k: TINY[last] for k in known if (last := k.split("__")[-1]) in TINY})


def digests() -> dict[str, str]:
    p, held_out, found = make_problem(16), make_problem(4, random_state=1).images, {}
    with tempfile.TemporaryDirectory() as folder, memory.remember(Path(folder) / "fits"):
        for name in methods():
            model = fit(tiny(name), p.images, p.xy, p.groups, p.flip)
            with limit_threads(FIT_THREADS):
                said = model.predict_with_score(held_out)
            save_model(model, Path(folder) / "model.hkp")
            parts = [(Path(folder) / "model.hkp").read_bytes(), *(array.tobytes() for array in said)]
            found[name] = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    return found


if __name__ == "__main__":
    json.dump(digests(), sys.stdout)
