"""Checks for the exercises, one module per chapter, named like the chapter's paper."""
