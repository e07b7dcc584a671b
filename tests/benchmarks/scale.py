"""What grows how: a sweep of 1,000 arms x 20 seeds x 1 M images, foretold from smaller ones.

Run:      python -m tests.benchmarks.scale [--what plan report ...] [--from F ...] [--json F] [--figure F]
Measures: CPU seconds and the peak of resident memory of each command, in a process of its own, on finished sweeps
          of drawn predictions whose arms, seeds, images and classes grow one at a time; what they leave on disk;
          and, with `images`, what a data set's images take from their metadata to the memory map.
Foretells: each figure at 1,000 arms x 20 seeds, as a sum of parts that grow as trials, as trials times images, as
          trials times images times classes and as the square of the arms, fitted to what was measured; and between
          what bounds, by all such sums that are nowhere further off. What is read and written once a trial grows
          as the trials by construction; the squares are looked for.
Takes:    about ten minutes on a calm machine, and 2 GB of disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.scale_fit import Point, draw, told
from tests.benchmarks.scale_folders import Size, Sweep, done
from tests.benchmarks.scale_images import SERIES as IMAGES
from tests.benchmarks.scale_images import measure_images

SMALL = Size(arms=20, seeds=2, images=200, classes=8)
WIDE = replace(SMALL, images=2_000)
SERIES: Mapping[str, Sequence[Size]] = {
    "arms": [replace(SMALL, arms=n) for n in (20, 80, 320)],
    "seeds": [replace(SMALL, seeds=n) for n in (2, 8, 32)],
    "images": [replace(SMALL, images=n) for n in (200, 2_000, 20_000)],
    "classes": [replace(WIDE, classes=n) for n in (8, 32, 128)],
    "seeds and images": [replace(SMALL, seeds=8, images=4_000)],
    "all": [Size(arms=80, seeds=8, images=6_000, classes=30)],
}
"""What grows, the rest being small; at last several at once, which tell costs a trial, image and class apart."""
TINY: Mapping[str, Sequence[Size]] = {"arms": [Size(arms=n, seeds=2, images=40, classes=4) for n in (5, 10)]}
"""For a test that this still runs."""
TARGET = Size(arms=1_000, seeds=20, images=100_000, classes=30)
"""1 M images in all, of which a tenth are val and a tenth test."""

WHATS = ("plan", "start", "verify", "exporter", "quick", "report")
SAID = {
    "plan": "`dermtune.sweep --dry-run`",
    "start": "`dermtune.sweep`, nothing to run",
    "verify": "`dermtune.verify`",
    "exporter": "`dermtune.export`, a new SQLite store",
    "quick": "`analysis.significance --quick --json --html`",
    "report": "`analysis.significance --json --html`",
}

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a command took."""

    cpu: float
    wall: float
    mib: float


def used(sweep: Sweep, module: str, *words: str) -> Used:
    """What `python -m MODULE WORDS` takes in the sweep's working directory. Raises where it fails."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.used", out.name, module, *words],
            cwd=sweep.here,
            env=sweep.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{module} {' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}")
        return Used(**json.load(out))


def command(sweep: Sweep, what: str) -> Used:
    """One command on the sweep."""
    folder = str(sweep.folder.path)
    files = ["--json", str(sweep.here / "report.json"), "--html", str(sweep.here / "report.html")]
    store = ["--tracking-uri", f"sqlite:///{sweep.here / f'{what}.db'}"]
    match what:
        case "plan":
            return used(sweep, "dermtune.sweep", *sweep.command, "--dry-run")
        case "start":
            return used(sweep, "dermtune.sweep", *sweep.command, *store)
        case "verify":
            return used(sweep, "dermtune.verify", folder)
        case "exporter":
            return used(sweep, "dermtune.export", folder, *store)
        case "quick":
            return used(sweep, "analysis.significance", folder, "--quick", *files)
        case _:
            return used(sweep, "analysis.significance", folder, *files)


def measure(series: Mapping[str, Sequence[Size]], whats: Sequence[str]) -> list[Point]:
    """Every command at every size, and what the sweep leaves on disk."""
    sizes: dict[Size, list[str]] = {}
    for grows, each in series.items():
        for size in each:
            sizes.setdefault(size, []).append(grows)
    points = []
    with tempfile.TemporaryDirectory() as parent:
        for number, (size, grows) in enumerate(sizes.items()):
            sweep = done(Path(parent) / str(number), size)
            console.print(f"{size}: {_on_disk(sweep.bytes())}")
            for what in whats:
                took = command(sweep, what)
                console.print(f"  {SAID[what]}: {took.cpu:.1f} CPU s, {took.wall:.1f} s, {took.mib:.0f} MiB")
                points.append(Point(what=what, grows=tuple(grows), size=size, cpu=took.cpu, mib=took.mib))
            subprocess.run(["rm", "-rf", str(sweep.here)], check=True)
    return points


def _on_disk(sizes: Mapping[str, int]) -> str:
    """The kinds of files that take most."""
    most = sorted(sizes.items(), key=lambda kind: -kind[1])[:5]
    return ", ".join(f"{name} {n / 1e6:.2f} MB" for name, n in most)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write what is asked for."""
    asked = _parser().parse_args(argv)
    whats = [what for what in asked.what if what != "images" and not asked.earlier]
    points = [point for path in asked.earlier for point in _points(path)]
    points += measure(TINY if asked.tiny else SERIES, whats) if whats else []
    for line in told(points, SAID, TARGET):
        console.print(line)
    wanted = "images" in asked.what and not asked.earlier
    images = measure_images([300] if asked.tiny else IMAGES, console) if wanted else []
    if asked.json:
        found: dict[str, Any] = {"points": [asdict(point) for point in points], "images": images}
        asked.json.write_text(json.dumps(found, indent=1))
    if asked.figure:
        draw(points, SAID, asked.figure)


def _points(path: Path) -> list[Point]:
    """What an earlier run wrote."""
    found = json.loads(path.read_text())["points"]
    return [Point(**{**point, "grows": tuple(point["grows"]), "size": Size(**point["size"])}) for point in found]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    known = (*WHATS, "images")
    parser.add_argument("--what", nargs="+", choices=known, default=known, help="what to measure; default: all")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that it runs")
    parser.add_argument(
        "--from", nargs="+", type=Path, default=(), dest="earlier", metavar="F", help="tell of earlier runs' JSON"
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write every figure")
    parser.add_argument("--figure", type=Path, metavar="F", help="draw the curves")
    return parser


if __name__ == "__main__":
    main()
