"""Score a checkpoint or a server on annotated posts, analyse its errors, tune its decoding."""
