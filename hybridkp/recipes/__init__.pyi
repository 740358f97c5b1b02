from .landmarks import DEFAULT as DEFAULT
from .landmarks import QUICK as QUICK
from .landmarks import describe_method as describe_method
from .landmarks import family as family
from .landmarks import make_method as make_method
from .landmarks import method_names as method_names
from .landmarks import search_space as search_space
from .landmarks import slow_names as slow_names
