"""Triton looks for `TritonPythonModel` here."""

from mqspn_backend.models.preprocess import TritonPythonModel  # noqa: F401
