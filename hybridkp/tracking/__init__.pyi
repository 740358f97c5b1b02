from .smoothing import smooth_points as smooth_points
