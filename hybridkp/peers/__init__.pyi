from .dlib import DlibShapePredictor as DlibShapePredictor
from .onnx import OnnxLandmarks as OnnxLandmarks
