from .dlib import DlibShapePredictor as DlibShapePredictor
