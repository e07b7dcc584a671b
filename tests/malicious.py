"""What a hostile file holds."""

from pathlib import Path


class Malicious:
    """What makes the canary's file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)
