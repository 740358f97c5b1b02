from .dlib import DlibShapePredictor as DlibShapePredictor
from .onnx import OnnxLandmarks as OnnxLandmarks
from .onnx_boxes import OnnxBoxes as OnnxBoxes
from .program import ProgramPoints as ProgramPoints
from .stored import StoredPoints as StoredPoints
