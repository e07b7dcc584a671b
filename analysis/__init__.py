"""Judging what was trained, from prediction files alone."""
