"""Memory against the length of a film: the same short procedural film again and again, followed and drawn.

    python benchmarks/film_memory.py --out runs/film_memory --results docs/results
    python benchmarks/film_memory.py --quick --out runs/quick

Each length runs in a process of its own, on one thread, from reading the film to the smoothed tracks, COCO's
JSON, the table and the annotated film.  Memory is the largest resident size of the process, interpreter and
libraries included; lengths that were measured are not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2

from hybridkp import evaluate, recipes
from hybridkp.datasets import make_film, make_scenes
from hybridkp.files import Film, write_atomic
from hybridkp.memory.resident import load_per_core, peak_bytes
from hybridkp.structures import Problem

LENGTHS = (1_000, 10_000, 30_000, 100_000)
SIZE = (96, 128)
METHOD = "hog+svm/sdm-fast"


def write_film(n: int, path: Path) -> Path:
    """75 frames of a moving face, forwards and backwards until there are ``n``."""
    if path.is_file():
        return path
    there = [sample.image for sample in make_film(75, SIZE, n_faces=1, background="real-val")]
    both = there + there[-2:0:-1]
    h, w = SIZE
    temporary = path.with_name(f"unfinished-{path.name}")
    writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), 25, (w, h))
    for i in range(n):
        writer.write(both[i % len(both)])
    writer.release()
    temporary.rename(path)
    return path


def fitted(folder: Path) -> Path:
    path = folder / "model.hkp"
    if not path.is_file():
        train = make_scenes(12, SIZE, background="real-train", max_faces=4)
        evaluate.train(recipes.make_method(METHOD, quick=True), Problem(train, train, SIZE), path)
    return path


def measure(n: int, folder: Path) -> dict[str, Any]:
    """One length, in this process."""
    cv2.setNumThreads(1)
    film = folder / f"{n}.mp4"
    start = time.process_time()
    found = evaluate.predict_film(
        folder / "model.hkp", film, folder / f"out-{n}", smooth=True, find_every=100
    )
    seconds = time.process_time() - start
    row = {"frames": found["frames"], "tracks": found["tracks"], "points": found["points"]}
    row |= {"peak_mb": round(peak_bytes() / 1e6, 1), "ms": round(1e3 * seconds / n, 2)}
    written = sum(p.stat().st_size for p in (folder / f"out-{n}").iterdir())
    return {**row, "film_mb": round(film.stat().st_size / 1e6, 1), "written_mb": round(written / 1e6, 1)}


def read(n: int, folder: Path) -> dict[str, Any]:
    """What OpenCV alone takes to read the film: a container's index grows with its frames."""
    frames = sum(1 for _ in Film(folder / f"{n}.mp4").frames())
    return {"frames": frames, "read_mb": round(peak_bytes() / 1e6, 1)}


def apart(n: int, folder: Path, what: str) -> dict[str, Any]:
    """``measure`` or ``read`` in a fresh process, whose memory is its own."""
    write_film(n, folder / f"{n}.mp4")
    command = [sys.executable, __file__, "--one", what, str(n), "--out", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    row: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the films and the model")
    parser.add_argument("--results", type=Path, help="folder for film_memory.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="120 frames, in this process: does it run")
    parser.add_argument("--most", type=int, help="leave out longer films")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps({"measure": measure, "read": read}[args.one[0]](int(args.one[1]), args.out)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    fitted(args.out)
    if args.quick:
        write_film(120, args.out / "120.mp4")
        print(measure(120, args.out))
        return
    path = (args.results or args.out) / "film_memory.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for n in LENGTHS:
        row = next((row for row in rows if row["frames"] == n), None)
        if n > (args.most or n) or (row is not None and "read_mb" in row):
            continue
        if row is None:
            row = {**apart(n, args.out, "measure"), "load": round(load_per_core(), 1)}
            rows.append(row)
        row |= apart(n, args.out, "read")
        print(row, file=sys.stderr)
        facts = {"method": METHOD, "size_hw": SIZE, "machine": f"{platform.system()} {platform.machine()}"}
        facts |= {"date": time.strftime("%Y-%m-%d"), "command": "python benchmarks/film_memory.py"}
        write_atomic(path, json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
