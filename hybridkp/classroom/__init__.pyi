from .answers import Classroom as Classroom
from .models import cache_folder as cache_folder
from .models import own_models as own_models
from .models import problem as problem
from .models import small_models as small_models
from .server import serve as serve
