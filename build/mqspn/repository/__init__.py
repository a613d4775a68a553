"""The Triton model repository: model configurations and the files beside them."""

from mqspn.repository.cuda_profile import CudaProfile
from mqspn.repository.graph_check import GraphMismatchError
from mqspn.repository.model_configuration import Shapes, model_configurations
from mqspn.repository.write import ENGINES, RepositoryError, build_repository

__all__ = [
    "ENGINES",
    "CudaProfile",
    "GraphMismatchError",
    "RepositoryError",
    "Shapes",
    "build_repository",
    "model_configurations",
]
