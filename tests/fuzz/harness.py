"""Strangers' files by the thousand: each read in a process with limits, with success or our own error.

``python tests/fuzz/harness.py --cases 20000`` damages sound files of every kind (``seeds.py``,
``mutate.py``) and reads them.  A crash, a hang, more than the memory, and any error but the library's own
fail; such a case is kept in ``--keep``.  The short run of the tests is ``test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 20.0  #: for one file
MEMORY = 3 << 30  #: bytes of address space of the reading process

#: target -> how a file of it is read; the words run in the limited process, ``path`` is the file
TARGETS: dict[str, str] = {
    "model": "m = load_model(path); m.predict_with_score(PICTURES)",
    "runtime": "d = runtime.load(path, engine='cv2.dnn'); d.detect(PICTURES[0])",
    "onnx": "d = Path(path).read_bytes(); check_foreign(d); check_own(d, {'image': (1, 1, 64, 64)})",
    "predictions": "load_predictions(path)",
    "coco": "d = load_dataset(path); make_crops(d, (16, 16)) if len(d) else None; list(check_dataset(path))",
    "pts": "read_pts(path)",
    "picture": "read_image(path)",
}
WORKER = """
import os, resource, sys, warnings
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path[:0] = {path!r}
from pathlib import Path
import numpy as np
from hybridkp import runtime
from hybridkp.datasets import check_dataset, load_dataset, read_pts
from hybridkp.evaluate import make_crops
from hybridkp.files import load_model, load_predictions, read_image
from hybridkp.files.onnx_check import check_foreign, check_own
from hybridkp.structures import InputError
import cv2, sklearn.svm
cv2.setNumThreads(1)
warnings.simplefilter("ignore")
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
print("ready", flush=True)
for line in sys.stdin:
    path = line.strip()
    try:
        {read}
        print("ok", flush=True)
    except InputError as error:
        text = str(error)
        print("refused" if len(text) < 1000 and "\\n" not in text else "a message of many lines", flush=True)
    except MemoryError:
        print("memory", flush=True)
    except BaseException as error:
        print("traceback", type(error).__name__, str(error)[:200].replace("\\n", " "), flush=True)
"""


class Reader:
    """A limited process that reads files of one target; started anew when it dies."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.process: Any = None

    def _start(self) -> None:
        code = WORKER.format(path=sys.path, memory=MEMORY, read=TARGETS[self.target])
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        if self._line(120) != "ready":
            raise RuntimeError(f"the reader of {self.target} does not start")

    def _line(self, seconds: float) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline().strip() if ready else "hang"

    def read(self, path: Path) -> str:
        """``ok``, ``refused``, or what went wrong."""
        if self.process is None:
            self._start()
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        said = self._line(SECONDS)
        if said in ("", "hang"):
            self.close()
        return said or "crash"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def run(
    cases: int, folder: Path, seed: int = 0, keep: Path | None = None, tell: Any = None
) -> dict[str, Any]:
    """Read ``cases`` damaged files, shared among the targets, and every known attack.

    Returns target -> counts of what was said, with the failures' files and words under ``failures``.
    """
    sys.path.insert(0, str(HERE))
    import mutate
    import seeds

    sound = seeds.make_seeds(folder / "seeds")
    known = seeds.attacks(folder / "attacks")
    counts: dict[str, Counter[str]] = {target: Counter() for target in TARGETS}
    failures: list[tuple[str, str, str]] = []
    (folder / "case").mkdir(exist_ok=True)
    for target in TARGETS:
        reader = Reader(target)
        rng = random.Random(f"{seed} {target}")

        def judge(path: Path, reader: Reader = reader, target: str = target) -> None:
            said = reader.read(path)
            counts[target][said.split()[0]] += 1
            if said not in ("ok", "refused"):
                failures.append((target, path.name, said))
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{target}-{len(failures)}{path.suffix}").write_bytes(path.read_bytes())

        for path in (*sound[target], *known.get(target, ())):
            judge(path)
        for number in range(cases // len(TARGETS)):
            source = rng.choice(sound[target])
            # beside the sound one: what it refers to is there
            path = (
                folder / "seeds" if target in ("coco", "pts") else folder / "case"
            ) / f"case{source.suffix}"
            path.write_bytes(mutate.of_name(source.name)(source.read_bytes(), rng))
            judge(path)
            if tell and number % 200 == 0:
                tell(target, number, dict(counts[target]))
        reader.close()
    return {"counts": {t: dict(c) for t, c in counts.items()}, "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that fail")
    parser.add_argument("-o", "--out", type=Path, help="JSON with the counts")
    args = parser.parse_args()
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args.cases, Path(folder), args.seed, args.keep, lambda *words: print(*words, flush=True))
    found |= {"cases": sum(sum(c.values()) for c in found["counts"].values()), "seed": args.seed}
    found["seconds"] = round(time.time() - begin)
    for target, counts in found["counts"].items():
        print(f"{target:12}", counts)
    for target, name, said in found["failures"][:40]:
        print("FAILED", target, name, said)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
