from .direct import DirectNet as DirectNet
from .embedding import CNNEmbedding as CNNEmbedding
from .feature_maps import HeatmapFeatures as HeatmapFeatures
from .heatmap import HeatmapNet as HeatmapNet
from .patchcnn import PatchCNN as PatchCNN
from .points.export import export_aliked as export_aliked
from .refine import CNNRefiner as CNNRefiner
from .schedule import Schedule as Schedule
