from .check import Finding as Finding
from .check import check_dataset as check_dataset
