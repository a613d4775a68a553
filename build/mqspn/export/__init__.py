"""Export: four ONNX graphs of a checkpoint, checked against PyTorch, and its model repository."""

from mqspn.export.graphs import ExportError, export_graphs
from mqspn.export.parity import Parity
from mqspn.export.repository import build_from_checkpoint

__all__ = ["ExportError", "Parity", "build_from_checkpoint", "export_graphs"]
