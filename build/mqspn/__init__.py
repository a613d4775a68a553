"""MQSPN: network, data, training, evaluation, export and the serving repository."""

__all__ = ["__version__"]

__version__ = "0.1.0"
