"""The parts of `compare.py` and `f1_paired.py`, one a file."""
