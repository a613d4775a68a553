"""The Triton models of the Python backend: they move tensors in and out, and nothing else."""
