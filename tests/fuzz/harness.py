"""Strangers' files by the thousand: each read in a process with limits, with success or our own error.

``python tests/fuzz --cases 20000`` damages sound files of every kind (``seeds.py``, ``mutate.py``), adds
the known attacks (``attacks.py``) and reads them all (``worker.py``).  A crash, a hang, more than the
memory, and any error but the library's own fail; such a file is kept in ``--keep``.  The short run of the
tests is ``test_fuzz.py``; the figures of the long one stand in ``docs/results/trust_fuzz.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import attacks
import mutate
import seeds

HERE = Path(__file__).parent
SECONDS = 20.0  #: of processor time for one file; a busy machine makes nothing a hang
WAIT = 60 * SECONDS  #: of anything, for one file
MEMORY = 3 << 30  #: bytes of address space of the reading process

#: target -> what a file of it is
TARGETS = {
    "model": "model files, `.hkp`: read, and asked about two pictures",
    "runtime": "runtime files, `.hkr`: read by `cv2.dnn`, and asked about a picture",
    "onnx": "ONNX graphs, looked through as ours and as others'",
    "predictions": "stored predictions",
    "coco": "COCO annotations: read, checked, and crops cut",
    "formats": "other tools' annotations, of every format that the library also writes",
    "pts": "300-W `.pts` files",
    "picture": "pictures of ten kinds",
    "run": "run folders of `bench`, `bench-points` and `tune`: reported and resumed",
    "fits": "remembered fits, predictions and training checkpoints",
}
FOLDERS = ("run", "fits", "formats")  #: targets of which a case is a folder with one file changed
#: what a reader said -> how it is counted; the last five must be 0
WORDS = {"ok": "accepted", "refused": "library errors", "crash": "crashes", "hang": "hangs"}
WORDS |= {"memory": "over memory", "traceback": "tracebacks", "lines:": "long messages"}
GOOD = ("ok", "refused")


class Reader:
    """A limited process that reads files of one target; started anew when it dies."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.process: Any = None

    def _start(self) -> None:
        command = [sys.executable, str(HERE / "worker.py"), self.target, str(MEMORY)]
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        if self._line() != "ready":
            raise RuntimeError(f"the reader of {self.target} does not start")

    def _line(self) -> str:
        begin, spent = time.monotonic(), self._spent()
        while time.monotonic() - begin < WAIT and self._spent() - spent < SECONDS:
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                return str(self.process.stdout.readline().strip())
        return "hang"

    def _spent(self) -> float:
        """Seconds of processor time; 0 of a process that has ended."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return 0.0
        ticks = text.rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def read(self, path: Path) -> tuple[bool, str]:
        """Whether the reader came behind the header, and ``ok``, ``refused``, or what went wrong."""
        if self.process is None:
            self._start()
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        said = self._line()
        if said in ("", "hang"):
            self.close()
            return True, said or "crash"
        past, _, said = said.partition(" ")
        return past == "past", said

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Target:
    """The cases of one target: where their files lie, who reads them, and what was said."""

    def __init__(self, name: str, folder: Path, keep: Path | None) -> None:
        self.name, self.folder, self.keep = name, folder, keep
        self.reader = Reader(name)
        self.failures: list[tuple[str, str, str]] = []

    def judge(self, source: Path, name: str, data: bytes, counts: Counter[str]) -> None:
        """Read ``data`` in place of the sound file ``source``, and count."""
        path, changed = self._lay(source, name, data)
        whole = self.name in FOLDERS and mutate.opens(changed)
        past, said = self.reader.read(path)
        word = said.split()[0]
        counts.update({"cases": 1, "past the header": int(past or whole), WORDS[word]: 1})
        if word not in GOOD:
            self.failures.append((self.name, name, said))
            if self.keep is not None:
                self.keep.mkdir(parents=True, exist_ok=True)
                kept = self.keep / f"{self.name}-{len(self.failures)}-{Path(name).name}"
                kept.write_bytes(data)

    def _lay(self, source: Path, name: str, data: bytes) -> tuple[Path, Path]:
        """(what is read, the file that is not as it was)."""
        if self.name not in FOLDERS:
            beside = {"coco": "seeds/data", "pts": "seeds"}.get(self.name, "case")
            path = self.folder / beside / f"case{Path(name).suffix}"
            path.write_bytes(data)
            return path, path
        root = self.folder / "seeds" / self.name
        inside = source.relative_to(root)
        case = self.folder / "case" / inside.parts[0]
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(root / inside.parts[0], case)
        path = case.parent / inside
        path.write_bytes(data)
        return case, path


def run(
    cases: int,
    folder: Path,
    seed: int = 0,
    keep: Path | None = None,
    tell: Callable[..., None] | None = None,
    only: Collection[str] = tuple(TARGETS),
) -> dict[str, Any]:
    """Read every known attack and ``cases`` damaged files, shared among the targets.

    Returns
    -------
    dict : ``targets`` (target -> counts), ``attacks`` (the same for the known ones), ``failures`` (target,
        file, words)
    """
    sound = seeds.make_seeds(folder)
    known = attacks.make_attacks(folder, sound)
    (folder / "case").mkdir(exist_ok=True)
    targets: dict[str, dict[str, Any]] = {}
    failures: list[tuple[str, str, str]] = []
    of_attacks: Counter[str] = Counter()
    for name in only:
        target, rng, counts = Target(name, folder, keep), random.Random(f"{seed} {name}"), Counter[str]()
        for source, file, data in known.get(name, ()):
            target.judge(source, file, data, of_attacks)
        undamaged: Counter[str] = Counter()
        for source in sound[name]:
            target.judge(source, source.name, source.read_bytes(), undamaged)
        assert undamaged["accepted"] == len(sound[name]), f"{name}: a sound file is refused"
        for number in range(cases // len(only)):
            source = rng.choice(sound[name])
            damage = mutate.of_name(source.name)
            target.judge(source, source.name, damage(source.read_bytes(), rng), counts)
            if tell and number % 100 == 0:
                tell(name, number, dict(counts))
        target.reader.close()
        failures += target.failures
        told = {word: counts[word] for word in ("cases", "past the header", *WORDS.values())}
        targets[name] = {"words": TARGETS[name]} | told
    of = {word: of_attacks[word] for word in ("cases", *WORDS.values())}
    return {"targets": targets, "attacks": of, "failures": failures}


def provenance(seed: int) -> str:
    """One line: when, on what, with which versions."""
    import cv2
    import numpy
    import sklearn

    import hybridkp

    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    of = f"hybridkp {hybridkp.__version__}, OpenCV {cv2.__version__}, NumPy {numpy.__version__}"
    return f"{time.strftime('%Y-%m-%d')}, {machine}, {of}, scikit-learn {sklearn.__version__}; seed {seed}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="damaged files, of all targets together")
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), help="these targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that fail")
    parser.add_argument("--json", type=Path, help="file for the counts")
    parser.add_argument("--quiet", action="store_true", help="no word until the end")
    args = parser.parse_args(arguments)
    begin = time.time()
    tell = None if args.quiet else lambda *words: print(*words, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = run(args.cases, Path(folder), args.seed, args.keep, tell, args.only)
    for target, counts in found["targets"].items():
        print(f"{target:12}", ", ".join(f"{n} {word}" for word, n in counts.items() if n and word != "words"))
    print(f"{'attacks':12}", ", ".join(f"{n} {word}" for word, n in found["attacks"].items() if n))
    for failure in found["failures"][:40]:
        print("FAILED", *failure)
    if args.json:
        limits = {"seconds of processor time": SECONDS, "bytes of memory": MEMORY}
        facts = {"provenance": provenance(args.seed), "seconds": round(time.time() - begin), "limits": limits}
        args.json.write_text(json.dumps(facts | found, indent=1) + "\n")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
