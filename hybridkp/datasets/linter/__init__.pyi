from .check import check_dataset as check_dataset
from .findings import Finding as Finding
