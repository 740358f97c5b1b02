from .conditions import write_conditions as write_conditions
from .severity import write_robustness as write_robustness
from .writer import Report as Report
from .writer import write_report as write_report
