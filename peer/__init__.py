"""Second implementations, in Python."""
