"""The command line: the only room that prints.

Each command is a thin layer over one public function.  Mistakes end in one line each on stderr and exit
code 2; a failed method, and what nobody foresaw, in 1; Ctrl-C in 130.  Nothing is written outside ``--out``.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .display import say

INTERRUPTED, MISTAKE, FAILED = 130, 2, 1
STOPPED = "Nothing half-written is left."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises for a user's mistake."""
    args = argparse.Namespace(debug=False, resume=STOPPED)
    with warnings.catch_warnings(), _tidy_sigterm():
        warnings.simplefilter("default")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.showwarning = _show_warning
        try:
            _take_any_character()
            return _run(argv, args)
        except KeyboardInterrupt:
            say(f"hybridkp: stopped. {args.resume}")
            return INTERRUPTED
        except BrokenPipeError:  # "hybridkp list | head"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:  # a library's own words for a value out of range, a full disk, no memory
            from ..structures import InputError, InputErrors

            if args.debug:
                raise
            if isinstance(error, InputError | ImportError):
                first, *more = error.lines if isinstance(error, InputErrors) else (str(error),)
                say("\n  ".join([f"hybridkp: error: {_line(first)}", *map(_line, more)]))
                return MISTAKE
            text = _line(str(error))
            say(f"hybridkp: error: {type(error).__name__}: {text[:300]} (--debug shows where)")
            return FAILED


def _run(argv: Sequence[str] | None, args: argparse.Namespace) -> int:
    from .parser import build_parser  # only now: Ctrl-C may come while the library loads

    parser = build_parser()
    parser.parse_args(argv, args)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return MISTAKE
    code: int = args.run(args)
    sys.stdout.flush()
    return code


def _line(text: str) -> str:
    return " ".join(text.split())


def _take_any_character() -> None:
    """What the terminal's or the pipe's code page lacks comes out as an escape, and is no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _tidy_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    say(f"hybridkp: note: {' '.join(str(message).split())}")
