"""What the images of a data set take before the first step: metadata, hashes, decoding, the map, the sampler."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from dermtune.config import DataConfig
from dermtune.data.cache import cached_images
from dermtune.data.manifest import fingerprint, read_manifest
from dermtune.data.place import Place, no_progress
from dermtune.data.splits import refuse_shared_groups, with_val
from dermtune.sampling import PowerSampler
from tests.benchmarks.used import peak_mib

SERIES = (10_000, 100_000, 1_000_000)
"""Rows of the metadata; of the steps that open images a thousandth, and no fewer than a hundred."""
SIDE = 448
CLASSES = 30
CONFIG = DataConfig(group_column="case_id", image_size=SIDE, fit="pad")


def measure_images(rows: Sequence[int], console: Console) -> list[dict[str, Any]]:
    """Each step at each number of rows, each number in a process of its own."""
    found = []
    for n in rows:
        with tempfile.TemporaryDirectory() as here:
            child = [sys.executable, "-m", "tests.benchmarks.scale_images", here, str(n)]
            ran = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(ran.stdout))
        steps = ", ".join(f"{name} {value:.4g}" for name, value in found[-1].items() if name != "rows")
        console.print(f"{n:,} images: {steps}")
    return found


def main() -> None:
    """Print what the steps take at so many rows, as JSON."""
    here, n = Path(sys.argv[1]), int(sys.argv[2])
    os.environ["OMP_NUM_THREADS"] = "1"
    steps = {"rows": float(n), **_metadata(here, n), **_files(here, max(100, n // 1000))}
    print(json.dumps(steps))  # noqa: T201 the parent reads it


def _metadata(here: Path, n: int) -> dict[str, float]:
    """CPU seconds of reading and cutting the table, of a process's look at the files, and of an epoch's order."""
    _table(here, n)
    manifest, reading = _timed(lambda: read_manifest(CONFIG, here))
    _, checking = _timed(lambda: refuse_shared_groups(manifest))
    whole, cutting = _timed(lambda: with_val(manifest, 0.15, 0))
    sampler, building = _timed(lambda: PowerSampler(whole.label[whole.split == "train"], 0.5, seed=0))
    _, drawing = _timed(lambda: list(sampler))
    return {
        "metadata": reading + checking,
        "cutting val": cutting,
        "sampler": building,
        "an epoch's order": drawing,
        "MiB": peak_mib(),
    }


def _files(here: Path, n: int) -> dict[str, float]:
    """Of one image, CPU seconds of hashing, of looking whether it has changed, and of decoding into the cache."""
    data = here / "few"
    _photographs(data, n)
    manifest, place = read_manifest(CONFIG, data), Place(data_dir=data, cache_dir=here / "cache")
    content, hashing = _timed(lambda: fingerprint(manifest, place, no_progress))
    _, looking = _timed(lambda: fingerprint(manifest, place, no_progress))
    images, decoding = _timed(lambda: cached_images(manifest, content, CONFIG, place, no_progress))
    _, opening = _timed(lambda: cached_images(manifest, content, CONFIG, place, no_progress))
    rows = np.random.default_rng(0).integers(0, n, 64)
    _, fetching = _timed(lambda: np.asarray(images.pixels[rows]))
    a_file = sum(path.stat().st_size for path in (data / "images").iterdir()) / n
    return {
        "hashing, ms an image": 1000 * hashing / n,
        "looking, ms an image": 1000 * looking / n,
        "decoding, ms an image": 1000 * decoding / n,
        "kB a file": a_file / 1000,
        "kB in the cache": images.pixels[0].nbytes / 1000,
        "opening the map": opening,
        "fetching, ms an image": 1000 * fetching / len(rows),
    }


def _table(data: Path, n: int) -> None:
    """Metadata of images that are not there: reading them asks for none."""
    case = np.arange(n) // 2
    label, split = case % CLASSES, np.where(case // CLASSES % 10 == 0, "test", "train")
    with (data / "metadata.csv").open("w") as file:
        file.write("image_id,case_id,label,split\n")
        file.writelines(f"i{i:08d},c{case[i]:08d},class {label[i]},{split[i]}\n" for i in range(n))


def _photographs(data: Path, n: int) -> None:
    """So many photographs of the size of HAM10000's, all the same one."""
    (data / "images").mkdir(parents=True)
    rng = np.random.default_rng(1)
    pixels = np.repeat(np.repeat(rng.integers(60, 220, (57, 75, 3), dtype=np.uint8), 8, axis=0), 8, axis=1)[:450]
    Image.fromarray(pixels).save(data / "one.jpg", quality=92)
    for i in range(n):
        (data / "images" / f"i{i:08d}.jpg").write_bytes((data / "one.jpg").read_bytes())
    with (data / "metadata.csv").open("w") as file:
        file.write("image_id,case_id,label,split\n")
        file.writelines(f"i{i:08d},c{i},class {i // 2 % 2},{('train', 'test')[i % 2]}\n" for i in range(n))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the CPU seconds that it took, of all threads."""
    began = _cpu()
    made = work()
    return made, _cpu() - began


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
