"""Triton looks for `TritonPythonModel` here."""

from mqspn_backend.models.postprocess import TritonPythonModel  # noqa: F401
