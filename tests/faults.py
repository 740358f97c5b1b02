"""Commands killed at random moments: nothing finished is lost, and what goes on ends as if nothing had been.

``python tests/faults.py --kills 100 --json faults.json`` from the top of the repository; the first kills are
those of ``test_faults.py``.  Real processes of the real command line, tiny data, every moment from one seed.
Unix only: a kill takes the process group, or the command alone, whose workers then have to end by themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hybridkp import __version__
from hybridkp.files.arrays import load_arrays
from hybridkp.files.lease import RUN

TINY = "--crop 48 --max-train 16"
NET = "--param max_epochs=3 --param epoch_pictures=16 --param input_px=32"
#: kind -> its command; {out} is a folder that only this run has, with whatever the command needs in it
COMMANDS = {
    "bench": f"bench synthetic --methods mean-shape,vote(hog+ridge,mean-shape) {TINY} --max-val 4 --jobs 1"
    " --out {out}/run",
    "tune": f"tune synthetic --methods hog+ridge --trials 3 --cv 2 {TINY} --jobs 2 -o {{out}}/tuned",
    "train": f"train synthetic --method vote(direct,hog+ridge) {NET} {TINY} -o {{out}}/model.hkp",
    "robustness": "robustness {out}/run --kinds blur,jpeg --jobs 2",
    "bench-points": "bench-points --quick --methods orb,net --points 60 --short-side 96 --jobs 2"
    " --out {out}/pairs",
}
BEGINNINGS = {"robustness": "bench"}  #: a kind that goes on from what another leaves
FINISHED = (
    "**/predictions/*.safetensors",
    "**/robustness/*/*.safetensors",
    "**/cache/*.json",
    "**/*.fits/*.json",
)
#: what a measurement says of this machine at this hour, and not of the data
MEASURED = {"seconds", "fit_seconds", "cpu_seconds", "stages", "peak_bytes", "versions", "load", "fit_load"}
MEASURED |= {"host", "fit_host"}
PATIENCE = 120.0  #: seconds for a command, and for orphans to end


@dataclass
class Figures:
    """What was tried, and every kind of harm that was looked for."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)  #: by kind of command
    interrupts: int = 0  #: Ctrl-C
    full_disks: int = 0  #: runs of which every file ended at some length
    resumed: int = 0  #: runs that went on to their end
    lost: list[str] = field(default_factory=list)  #: finished, and gone, changed or made again
    unequal: list[str] = field(default_factory=list)  #: results that differ from an undisturbed run's
    left: list[str] = field(default_factory=list)  #: half-written files, leases, orphans
    words: list[str] = field(default_factory=list)  #: tracebacks, or more than a line

    @property
    def harm(self) -> list[str]:
        return [*self.lost, *self.unequal, *self.left, *self.words]

    def as_json(self) -> dict[str, Any]:
        counts = {name: len(getattr(self, name)) for name in ("lost", "unequal", "left", "words")}
        own = {"seed": self.seed, "kills": sum(self.kills.values()), "kills_by_command": self.kills}
        return own | {
            "interrupts": self.interrupts,
            "full_disks": self.full_disks,
            "resumed": self.resumed,
            **counts,
        }


class Faults:
    """Runs commands in ``folder``, disturbs them, and counts."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.rng, self.figures = folder, np.random.default_rng(seed), Figures(seed)
        self.whole: dict[str, tuple[Path, float]] = {}  #: kind -> an undisturbed run's folder and seconds
        self.lives = 0

    def undisturbed(self, kind: str) -> tuple[Path, float]:
        if kind not in self.whole:
            out = self.fresh(kind)
            start = time.perf_counter()
            self.finish(kind, out)
            self.whole[kind] = out, time.perf_counter() - start
        return self.whole[kind]

    def fresh(self, kind: str) -> Path:
        self.lives += 1
        out = self.folder / f"{self.lives}-{kind}"
        if kind in BEGINNINGS:
            shutil.copytree(self.undisturbed(BEGINNINGS[kind])[0], out)
        else:
            out.mkdir(parents=True)
        return out

    def life(self, kind: str, kills: int, others: int = 0) -> None:
        """One folder: a run is killed, stopped and has no disk at random moments, goes on, and ends."""
        wanted, seconds = self.undisturbed(kind)
        out = self.fresh(kind)
        finished: dict[str, tuple[int, int]] = {}
        for fault in self.rng.permutation([self.kill] * kills + [self.interrupt, self.fill] * others):
            limit = int(10 ** self.rng.uniform(2, 4.5)) if fault == self.fill else None
            with started(kind, out, limit) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.3 + self.rng.uniform(0, 0.9) * seconds)
                if process.returncode is None or limit:
                    fault(kind, process)
            finished = self.look(kind, out, finished)
        self.finish(kind, out)
        self.look(kind, out, finished)
        self.figures.resumed += 1
        self.compare(kind, out, wanted)

    def kill(self, kind: str, process: subprocess.Popen[str]) -> None:
        """Kill -9 of all its processes at once, or of the command alone."""
        alone = self.rng.integers(2)
        (process.kill if alone else lambda: os.killpg(process.pid, signal.SIGKILL))()
        process.wait()
        if not ended(process.pid):
            self.figures.left.append(f"{kind}: workers outlive their parent")
        self.figures.kills[kind] = self.figures.kills.get(kind, 0) + 1

    def interrupt(self, kind: str, process: subprocess.Popen[str]) -> None:
        """Ctrl-C as a terminal sends it, to all its processes at once: one line, and the exit code for it.

        What comes before the command's first line of code is Python's to answer.
        """
        while process.poll() is None and not has_begun(process.pid):
            time.sleep(0.02)
        if process.returncode is not None:
            return
        os.killpg(process.pid, signal.SIGINT)
        text = process.communicate(timeout=PATIENCE)[1]
        lines = [line for line in text.splitlines() if not line.startswith("[") and "note:" not in line]
        # Python ends itself by the signal where Ctrl-C came inside of a text that it executes (dataclasses,
        # while they load); a shell says 130 of both
        by_signal = process.returncode in (130, -signal.SIGINT)
        stopped = by_signal and len(lines) == 1 and lines[0].startswith("hybridkp: stopped. ")
        if not stopped and (process.returncode or lines):
            self.figures.words.append(f"{kind}: {process.returncode}, {text[-3000:]}")
        self.figures.interrupts += 1

    def fill(self, kind: str, process: subprocess.Popen[str]) -> None:
        """No file may become longer than some bytes, as on a full disk: it ends by itself, with a line."""
        text = process.communicate(timeout=PATIENCE * 4)[1]
        last = text.splitlines()[-1:] or [""]
        if process.returncode and (not last[0].startswith("hybridkp: error: ") or "Traceback" in text):
            self.figures.words.append(f"{kind}, full disk: {process.returncode}, {text[-3000:]}")
        self.figures.full_disks += 1

    def finish(self, kind: str, out: Path) -> None:
        done = subprocess.run(arguments(kind, out), capture_output=True, text=True, timeout=PATIENCE * 4)
        if done.returncode:
            raise AssertionError(f"{kind} ended with {done.returncode}: {done.stderr[-2000:]}")

    def look(self, kind: str, out: Path, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """What is finished now; what was so before must be the same file, unless its run tidied it away."""
        now = {
            str(path.relative_to(out)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for pattern in FINISHED
            for path in out.glob(pattern)
            if path.name != RUN
        }
        over = kind == "train" and (out / "model.hkp").exists()
        self.figures.lost += [
            f"{kind}: {n}" for n, stamp in before.items() if now.get(n) != stamp and not over
        ]
        return now

    def compare(self, kind: str, out: Path, wanted: Path) -> None:
        found, right = results(out), results(wanted)
        differ = {name for name in found.keys() | right.keys() if found.get(name) != right.get(name)}
        self.figures.unequal += [f"{kind}: {name}" for name in sorted(differ)]
        litter = ("*.part", RUN, "crops-*", "*.progress", ".*.fits")
        self.figures.left += [
            f"{kind}: {p.relative_to(out)}" for pattern in litter for p in out.rglob(pattern)
        ]


# --------------------------------------------------------------------------------------------
# processes
# --------------------------------------------------------------------------------------------


def arguments(kind: str, out: Path) -> list[str]:
    return [sys.executable, "-m", "hybridkp", *(word.format(out=out) for word in COMMANDS[kind].split())]


@contextmanager
def started(kind: str, out: Path, limit: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, of which nothing is left afterwards."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a runner in the background hands down an ignored one
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = subprocess.Popen(
        arguments(kind, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def has_begun(pid: int) -> bool:
    """Whether a command has come to load what it works with; True where the system does not say."""
    try:
        return "numpy" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return True


def ended(group: int) -> bool:
    """Whether all processes of a group end by themselves."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# --------------------------------------------------------------------------------------------
# results
# --------------------------------------------------------------------------------------------


def results(out: Path) -> dict[str, str]:
    """Each stored result of a folder, and a digest of what in it is no measurement of time or memory."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            arrays, meta = load_arrays(data)
            value: Any = {name: [str(a.dtype), a.shape, a.tobytes()] for name, a in arrays.items()}
            value |= {name: json.loads(text) for name, text in meta.items() if name != "sha256"}
        elif path.name == "trials.json":
            value = json.loads(data)
        elif path.suffix == ".hkp":
            value = data
        else:
            continue
        text = json.dumps(_lasting(value), sort_keys=True, default=repr)
        found[str(path.relative_to(out))] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(v) for name, v in value.items() if name not in MEASURED}
    return [_lasting(v) for v in value] if isinstance(value, list) else value


def run(folder: Path, kills: int, others: int, seed: int = 0, per_life: int = 2) -> Figures:
    """So many kills, of each command about as many; Ctrl-C and a full disk in the first lives."""
    faults = Faults(folder, seed)
    for number in count():
        left = kills - sum(faults.figures.kills.values())
        if left <= 0:
            return faults.figures
        kind = min(COMMANDS, key=lambda k: faults.figures.kills.get(k, 0))  # a kill may come too late
        faults.life(kind, min(per_life, left), int(number < others))
    return faults.figures


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python tests/faults.py", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--others", type=int, default=5, help="Ctrl-C, and full disks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), args.kills, args.others, args.seed)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    made = f"{time.strftime('%Y-%m-%d')}, {machine}, hybridkp {__version__}"
    text = json.dumps({"provenance": made} | figures.as_json(), indent=1) + "\n"
    if args.json:
        args.json.write_text(text, encoding="utf-8")
    print(text, *figures.harm, sep="\n")
    return int(bool(figures.harm))


if __name__ == "__main__":
    sys.exit(main())
