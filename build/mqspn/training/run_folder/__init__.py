"""What a run keeps on disk, so that a killed one goes on and a finished one is left alone."""
