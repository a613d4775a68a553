"""Posts: the layout on disk, its reader, and its statistics."""
