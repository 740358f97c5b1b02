"""Another's program as a detector: crops go to it one by one as files, its points come back as JSON lines.

The program runs in an environment of its own.  It is started only for a command that you give, on the command
line or in Python: a model file that names one is refused.  Nothing is learned here.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import queue
import shlex
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import cv2

from ..imaging.images import check_crops
from ..structures import Array, InputError
from .scheme import PeerMixin, as_table

MAX_POINTS = 10_000
MAX_LINE = 1 << 20  #: characters of an answer
MAX_CHATTER = 1000  #: lines before an answer that are none
_GRACE = 0.2  #: seconds to end without being told
_LAST = 2000  #: bytes of standard error that are read
SIDE = 256  #: px of the crops that a program is asked about when nobody says


@dataclass(eq=False, repr=False)
class ProgramPoints(PeerMixin):
    """A program that finds points in pictures, asked about every crop.

    Parameters
    ----------
    command : the program with its arguments, as in a shell (but no shell sees it)
    take : for each landmark the number of the program's point that it is, from 0; default the first K; behind
        ``linear`` all points are used
    timeout : seconds that an answer may take, the start of the program included

    Notes
    -----
    **Protocol.** The program reads lines from its standard input and answers each by a line of its standard
    output, until its input ends.  In: ``{"file": "/tmp/x/crop.png"}``, a PNG of 8-bit BGR colour.  Out:
    ``{"points": [[x, y], ...]}`` or ``[[x, y, confidence], ...]`` in px of that picture, where an integer is
    a pixel's centre, always as many points; ``null`` in place of a point that was not found, and
    ``{"points": null}`` where nothing was.  Lines that do not begin with ``{`` are passed over.  Standard
    error is shown when the program ends early.

    **Safety.** ``load_model`` refuses a file that holds one of these, as it would start whatever command a
    stranger wrote there; ``load_model(path, trusted=[ProgramPoints])`` is your word for that file.
    """

    runs_programs: ClassVar[bool] = True

    command: str = ""
    take: tuple[int, ...] | None = None
    timeout: float = 60.0

    def ready(self, images: Any) -> ProgramPoints:
        """See that the program can be started."""
        images = check_crops(images)
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        _running(self.command)
        return self

    def points(self, images: Any) -> tuple[Array, Array]:
        """(B, M, 2) float32 crop px, NaN = gave none, and (B, M); M = 0 where no crop had an answer."""
        crops = check_crops(images, self.size_hw_)
        return as_table([self._ask(crop) for crop in crops], self.command)

    def input_hw(self) -> tuple[int, int]:
        """A program takes any size; this one where nobody says."""
        return SIDE, SIDE

    def content(self) -> str:
        """16 hex digits of the command and of the files that it names."""
        digest = hashlib.sha256(self.command.encode())
        for word in _words(self.command):
            path = Path(word)
            if path.is_file() and path.stat().st_size <= MAX_LINE:
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def _ask(self, crop: Array) -> Any:
        """The points (M, 2 or 3) as the program wrote them, None for none."""
        talk = _running(self.command)
        answer = talk.ask(cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop, self.timeout)
        points = answer.get("points") if isinstance(answer, dict) else answer
        if points is not None and not (isinstance(points, list) and len(points) <= MAX_POINTS):
            talk.end()
            raise InputError(f'program {self.command!r}: answered no {{"points": [[x, y], ...]}}')
        return points


class _Talk:
    """One running program and the folder of its pictures."""

    def __init__(self, command: str) -> None:
        self.command, self.owner = command, os.getpid()
        words = _words(command)
        self.folder = tempfile.TemporaryDirectory(prefix="hybridkp-")
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                encoding="utf-8",
                errors="replace",
            )
        except (OSError, ValueError) as error:
            self.folder.cleanup()
            self.errors.close()
            why = getattr(error, "strerror", None) or error
            raise InputError(f"program {command!r}: cannot be started ({why}): check the command") from None
        self.lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        arguments = self.process.stdout, self.lines
        self.reader = threading.Thread(target=_pass_on, args=arguments, daemon=True)
        self.reader.start()

    def ask(self, image: Array, timeout: float) -> Any:
        path = str(Path(self.folder.name) / "crop.png")
        cv2.imwrite(path, image)
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"file": path}) + "\n")
            self.process.stdin.flush()
            until = time.monotonic() + timeout
            for _ in range(MAX_CHATTER):
                line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
                if not line:
                    break
                if line.lstrip().startswith("{"):
                    return json.loads(line)
        except queue.Empty:
            self.end()
            raise InputError(
                f"program {self.command!r}: gave no answer in {timeout:g} s: set timeout="
            ) from None
        except (OSError, ValueError):
            pass  # it ended, or wrote what is no JSON: both are told by its last words
        said = self.end()
        told = f": {said[-1][:200]}" if said else ""
        code = self.process.returncode
        raise InputError(f"program {self.command!r}: ended or answered no JSON (exit code {code}){told}")

    def end(self) -> list[str]:
        """The end of this very process and of its pictures; the lines that it wrote as errors."""
        _talks.pop(self.command, None)
        if self.owner != os.getpid():
            return []
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE)  # one that is about to end by itself has a code to tell
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join()
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - _LAST))
        said = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        self.errors.close()
        self.folder.cleanup()
        return said


_talks: dict[str, _Talk] = {}


def _running(command: str) -> _Talk:
    """The program of that command in this process, started where it does not run."""
    talk = _talks.get(command)
    if talk is not None and talk.owner == os.getpid() and talk.process.poll() is not None:
        talk.end()
    if talk is None or talk.owner != os.getpid() or talk.process.poll() is not None:
        talk = _talks[command] = _Talk(command)
    return talk


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command, posix=os.name == "posix")
    except ValueError as error:
        raise InputError(f"program {command!r}: no command ({error})") from None
    if not words:
        raise InputError('program: give the command: program[command="python theirs.py"]')
    return words


def _pass_on(stream: IO[str], lines: queue.Queue[str]) -> None:
    """Each line, cut at :data:`MAX_LINE`, and an empty text at the end."""
    with stream:
        while line := stream.readline(MAX_LINE):
            lines.put(line)
    lines.put("")


@atexit.register
def _end_all() -> None:
    for talk in list(_talks.values()):
        talk.end()
