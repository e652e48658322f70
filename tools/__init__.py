"""Scripts that make the book; run them from the root: ``python -m tools.NAME``."""
