from .classes import write_classes_report as write_classes_report
from .finders import write_finders_report as write_finders_report
from .landmarks.conditions import write_conditions as write_conditions
from .landmarks.severity import write_robustness as write_robustness
from .landmarks.writer import Report as Report
from .landmarks.writer import write_report as write_report
from .output import to_frame as to_frame
from .points.writer import write_points_report as write_points_report
