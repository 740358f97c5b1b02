from .bundled import BENCH_PICTURES as BENCH_PICTURES
from .bundled import TRAIN_PICTURES as TRAIN_PICTURES
from .bundled import bundled_picture as bundled_picture
from .bundled import training_pictures as training_pictures
from .corruptions import CORRUPTIONS as CORRUPTIONS
from .corruptions import corrupted as corrupted
from .faces import make_faces as make_faces
from .photo_pairs import make_pairs as make_pairs
