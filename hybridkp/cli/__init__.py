"""The command line: the only room that prints.

Each command is a thin layer over one public function.  Mistakes end in one line on stderr and exit
code 2; a failed method, and what nobody foresaw, in 1; Ctrl-C in 130.  Nothing is written outside ``--out``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..structures import InputError
from .display import say

INTERRUPTED, MISTAKE, FAILED = 130, 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises for a user's mistake."""
    from .parser import build_parser

    parser = build_parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return MISTAKE
    with warnings.catch_warnings(), _tidy_sigterm():
        warnings.simplefilter("default")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.showwarning = _show_warning
        try:
            code: int = args.run(args)
            sys.stdout.flush()
            return code
        except (InputError, ImportError) as error:
            if args.debug:
                raise
            say(f"hybridkp: error: {' '.join(str(error).split())}")
            return MISTAKE
        except KeyboardInterrupt:
            say(f"hybridkp: stopped. {getattr(args, 'resume', 'Nothing half-written is left.')}")
            return INTERRUPTED
        except BrokenPipeError:  # "hybridkp list | head"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:  # a library's own words for a value out of range, a full disk, no memory
            if args.debug:
                raise
            text = " ".join(str(error).split())[:300]
            say(f"hybridkp: error: {type(error).__name__}: {text} (--debug shows where)")
            return FAILED


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
