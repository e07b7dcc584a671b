"""What shellcheck says of shell in a file of another kind."""

import subprocess
import sys
from pathlib import Path


def complaints(text: str, *, dialect: str = "bash") -> str:
    """Its lines on the script; none where it has nothing to say."""
    tool = Path(sys.executable).with_name("shellcheck")
    asked = [tool, f"--shell={dialect}", "--format=gcc", "-"]
    return subprocess.run(asked, input=text, capture_output=True, text=True, check=False).stdout
