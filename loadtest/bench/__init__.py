"""The parts of `gpu.py`, one a file."""
