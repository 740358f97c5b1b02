from .writer import write_points_report as write_points_report
