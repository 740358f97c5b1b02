from .check import check_dataset as check_dataset
from .errors import figure_errors as figure_errors
from .findings import Finding as Finding
from .pixels import check_size as check_size
from .pixels import other_size as other_size
