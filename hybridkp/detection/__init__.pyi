from .boxes import BoxesGiven as BoxesGiven
from .top_down import TopDown as TopDown
