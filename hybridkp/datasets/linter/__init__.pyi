from .check import check_dataset as check_dataset
from .errors import figure_errors as figure_errors
from .findings import Finding as Finding
from .pixels import OTHER_SIZE_CURE as OTHER_SIZE_CURE
from .pixels import other_size as other_size
