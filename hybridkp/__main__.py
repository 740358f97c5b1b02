"""``python -m hybridkp`` is the command ``hybridkp``."""

import sys

from .cli import main

sys.exit(main())
