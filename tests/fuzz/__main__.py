"""``python tests/fuzz``: the harness's long run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from harness import main

sys.exit(main())
