from .boxes import BoxesGiven as BoxesGiven
from .boxes_math import box_overlap as box_overlap
from .boxes_math import fuse_boxes as fuse_boxes
from .channels import Cells as Cells
from .top_down import TopDown as TopDown
from .window_finder import WindowFinder as WindowFinder
from .windows import WindowModel as WindowModel
