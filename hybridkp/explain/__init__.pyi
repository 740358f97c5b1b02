from .evidence import Evidence as Evidence
from .evidence import Explanation as Explanation
from .evidence import explain as explain
from .hiding import Deletion as Deletion
from .hiding import deletion_test as deletion_test
from .hiding import occlusion as occlusion
from .writer import page as page
