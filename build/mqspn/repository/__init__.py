"""The Triton model repository: how it is written, and what of it may be served.

Serving reads this package and never the compiler: the plans' manifests, the shape profiles, the
serving profiles and the runtime's version are here.
"""

from mqspn_backend.tensors import ENGINES

from mqspn.repository.cuda_profile import CudaProfile
from mqspn.repository.errors import GraphMismatchError, RepositoryError
from mqspn.repository.model_configuration import Shapes, model_configurations
from mqspn.repository.write import build_repository

__all__ = [
    "ENGINES",
    "CudaProfile",
    "GraphMismatchError",
    "RepositoryError",
    "Shapes",
    "build_repository",
    "model_configurations",
]
