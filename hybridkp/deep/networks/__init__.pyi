from .backbone import Backbone as Backbone
from .dense import DenseTrunk as DenseTrunk
from .encoder import Encoder as Encoder
from .registry import BACKBONES as BACKBONES
from .registry import make_backbone as make_backbone
from .unet import UNet as UNet
