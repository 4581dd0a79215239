"""Features of frozen branches, computed once and kept on disk."""
