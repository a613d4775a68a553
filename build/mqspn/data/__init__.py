"""Read annotated posts from disk, check them, and count what a data set holds."""
