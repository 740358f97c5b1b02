"""Look at what the methods see: a pyramid, a HOG, a heat map.

Classical methods and networks look at the same picture through different eyes.  This draws them, for one
procedural face, into PNG files.

    python examples/look.py -o out
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

import hybridkp
from hybridkp import imaging
from hybridkp.evaluate import make_crops

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("-o", "--out", type=Path, default=Path("out"))
out = parser.parse_args().out
out.mkdir(parents=True, exist_ok=True)

crops = make_crops(hybridkp.load_dataset("synthetic", "train").subset(range(60)), size_hw=(64, 64))
face, truth = crops.images[0], crops.xy[0]

# A pyramid: the same picture, ever smaller and blurred by what the coarser grid cannot carry.  A descriptor
# of a fixed size in px sees more of the face on each level.
pyramid = imaging.gaussian_pyramid(cv2.resize(face, (256, 256), interpolation=cv2.INTER_CUBIC), n_levels=4)
print("levels:", ", ".join(f"{h} x {w}" for h, w in (level.shape for level in pyramid.levels)))
assert np.allclose(pyramid.scale, [1, 1 / 2, 1 / 4, 1 / 8])
cv2.imwrite(str(out / "pyramid.png"), imaging.draw_pyramid(pyramid))

# A HOG: in each cell, how strong edges of each direction are.  Brightness is gone, shape has stayed; that is
# why a linear model on it goes far.
cv2.imwrite(str(out / "hog.png"), imaging.draw_hog(face, cell=4))

# A heat map: for one landmark, where a network believes it to be.  After five short epochs on 60 faces the
# belief is broad; a wrong second peak is what fusion with a model of shapes can repair.
net = hybridkp.make_method("heatmap[max_epochs=5,epoch_pictures=240]", quick=True)
net.fit(crops.images, crops.xy, groups=crops.groups)
maps = net.score_maps(crops.images[:1], stride=4)
print(f"{maps.shape[1]} maps of {maps.shape[2]} x {maps.shape[3]}")
cv2.imwrite(str(out / "heatmap.png"), imaging.draw_heatmap(face, maps[0]))

# And what comes out of it: dots are the network's points, rings the truth.
points, score = net.predict_with_score(crops.images[:1])
drawn = imaging.draw_landmarks(cv2.resize(face, (512, 512)), points[0] * 8 + 3.5, truth=truth * 8 + 3.5)
cv2.imwrite(str(out / "landmarks.png"), drawn)
error = np.hypot(*(points[0] - truth).T)
print(f"mean error {np.nanmean(error):.1f} px of 64, on a face it was trained on")
assert sorted(p.name for p in out.glob("*.png")) == ["heatmap.png", "hog.png", "landmarks.png", "pyramid.png"]
