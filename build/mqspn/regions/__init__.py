"""Candidate regions of a post's image: proposed, encoded, kept on disk and counted as recall."""
