"""``python -m hybridkp`` is the command ``hybridkp``."""

import signal
import sys

from .cli import main


def run() -> int:
    """The command; Ctrl-C has nothing to stop once its work is done."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(run())
