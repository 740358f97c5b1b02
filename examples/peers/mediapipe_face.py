"""MediaPipe's face mesh as a peer: the program behind ``program[command="..."]``.

It lives in an environment of its own, because MediaPipe 0.10.21 (whose wheel carries its models) wants
NumPy below 2:

    python -m venv mp && mp/bin/pip install mediapipe==0.10.21
    hybridkp bench faces68 --methods 'program[command="mp/bin/python mediapipe_face.py"]:linear:sdm'

The protocol: a JSON line {"file": "crop.png"} comes in, a JSON line {"points": [[x, y], ...]} goes out, or
{"points": null} where nothing was found; px of that picture, an integer is the centre of a pixel.
"""

import json
import sys

import cv2
import mediapipe

mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)
for line in sys.stdin:
    image = cv2.imread(json.loads(line)["file"])
    height, width = image.shape[:2]
    found = mesh.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).multi_face_landmarks
    points = None
    if found:
        # MediaPipe counts 0..1 from the outer edges of the picture
        points = [[p.x * width - 0.5, p.y * height - 0.5] for p in found[0].landmark]
    print(json.dumps({"points": points}), flush=True)
