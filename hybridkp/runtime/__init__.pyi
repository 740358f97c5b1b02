from .detector import RuntimeDetector as RuntimeDetector
from .detector import RuntimePictureDetector as RuntimePictureDetector
from .detector import load as load
from .export import export_runtime as export_runtime
from .onnx_export import export_onnx as export_onnx
from .tracker import Tracker as Tracker
