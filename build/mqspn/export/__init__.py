"""Export: four ONNX graphs of a checkpoint, checked against PyTorch, and its model repository."""

from mqspn.export.errors import ExportError
from mqspn.export.graphs import export_graphs
from mqspn.export.repository import build_from_checkpoint

__all__ = ["ExportError", "build_from_checkpoint", "export_graphs"]
