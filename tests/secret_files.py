"""Files that hold what no file may."""

from pathlib import Path


def holding(secret: str, *folders: Path) -> list[str]:
    """The files in the folders that hold the secret, Ray's own logs among those that are searched."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "raylet.out" for path in files)
    return [str(path) for path in files if secret.encode() in path.read_bytes()]
