"""Why a checkpoint cannot be exported.

mqspn.errors.BuildError
└── ExportError    a graph differs from PyTorch
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = ["ExportError"]


class ExportError(BuildError):
    """A graph differs from PyTorch by more than its tolerance; nothing of it may be served."""
