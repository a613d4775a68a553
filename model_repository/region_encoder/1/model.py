"""Triton looks for `TritonPythonModel` here."""

from mqspn_backend.models.engine import TritonPythonModel  # noqa: F401
