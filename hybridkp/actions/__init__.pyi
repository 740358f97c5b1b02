from .motion import Motion as Motion
from .motion import check_tracks as check_tracks
from .motion import motion_of as motion_of
from .motion import track_batch as track_batch
from .motion import tracks_of as tracks_of
from .rows import TrackRows as TrackRows
from .rows import limbs_of as limbs_of
from .rows import motion_rows as motion_rows
