from .concat import Concat as Concat
from .concat import MultiLevel as MultiLevel
from .gradients import orientation_maps as orientation_maps
from .gradients import sample_cells as sample_cells
from .hog import HOG as HOG
from .orb import ORB as ORB
from .sift import SIFT as SIFT
from .surf import SURF as SURF
