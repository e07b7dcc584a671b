"""The method on test sets, runs and arms whose truth is known: how often it is right, and how wide."""
