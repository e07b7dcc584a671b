"""Watches a rented machine that runs a sweep: its results are saved, then it is ended, and that is made sure of."""
