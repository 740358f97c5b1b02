"""Whether points that another program printed, x and y a line, are those of the golden file.

python examples/embedding/agrees.py face.txt golden/golden.json
"""

import json
import sys
from pathlib import Path

import numpy as np

found = np.loadtxt(sys.argv[1])
off = np.abs(found - json.loads(Path(sys.argv[2]).read_text())["face_opencv"]).max()
print(f"{sys.argv[1]}: {len(found)} landmarks, {off:.1e} px from the golden file")
sys.exit(int(off > 1e-3))
