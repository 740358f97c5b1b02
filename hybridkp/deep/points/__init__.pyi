from .export import export_aliked as export_aliked
from .learning import PointLearner as PointLearner
