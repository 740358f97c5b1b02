from .diagnosis import Diagnosis as Diagnosis
from .opinions import Opinions as Opinions
from .opinions import ask as ask
from .page import records as records
from .page import write_suspicions as write_suspicions
from .suspicion import Suspicions as Suspicions
from .suspicion import check_labels as check_labels
from .suspicion import suspicions as suspicions
