"""Timings on request: kept beside the pixel cache, measured once in processes of their own where there are none."""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dermtune.config import Config, UserError, canonical_json
from dermtune.data.place import Place, Progress, no_progress
from dermtune.durable import read_json, write_json
from dermtune.recipes import MicroBatch
from dermtune.timing.kinds import kind_of, same_kind
from dermtune.timing.machine import Machine
from dermtune.timing.measured import Timing, together

FORMAT = 1
"""Part of the key; raised when the same trial comes to be timed in another way."""
PACKAGES = ("torch", "transformers")
"""Packages whose versions change how long a step takes."""
LIMIT = 600.0
"""Seconds after which a timing is given up."""
MOST_BESIDE = 8
"""Trials that are timed side by side at most, however many run so."""
_PREFIX = ".timing-"


class TimingError(Exception):
    """Trials that could not be timed; the message says why. A plan can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Under which circumstances trials are timed."""

    place: Place
    fingerprints: Mapping[str, str]
    """Of the data, and of a local checkpoint."""
    machine: Machine
    cpus: float
    """Cores of a trial."""
    gpus: float
    """GPUs of a trial."""
    beside: int = 1
    """Trials that run side by side, and are timed so."""
    micro_batch: MicroBatch = None
    """What a forward pass of a trial holds."""

    def key(self, config: Config) -> str:
        """Hash of all that changes the time of a step of this configuration, and of nothing else."""
        what = {
            "format": FORMAT,
            "kind": kind_of(config),
            "fingerprints": dict(self.fingerprints),
            "machine": asdict(self.machine),
            "cpus": float(self.cpus),
            "gpus": float(self.gpus),
            "beside": self.beside,
            "versions": {package: version(package) for package in PACKAGES},
        }
        if self.micro_batch is not None:
            what["micro_batch"] = self.micro_batch
        return hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    def file(self, config: Config) -> Path:
        """Where the timing of this configuration's kind is kept, whether there is one or not."""
        return self.place.cache_dir / f"timing-{self.key(config)}.json"


def timings_kept(configs: Iterable[Config], asked: Asked) -> dict[str, Timing]:
    """The timings that are there of these configurations' kinds, by `kind_of`."""
    of_kind = {kind_of(config): config for config in configs}
    found = {kind: _read(asked.file(config)) for kind, config in of_kind.items()}
    return {kind: timing for kind, timing in found.items() if timing is not None}


def time_kinds(arms: Mapping[str, Config], asked: Asked, progress: Progress) -> dict[str, Timing]:
    """The timing of each kind among the arms' configurations, by `kind_of`; what is not kept yet is measured.

    Raises TimingError where one cannot be measured or kept, UserError where an arm's model or its data cannot be
    trained on.
    """
    found: dict[str, Timing] = {}
    wanted: dict[str, str] = {}
    for arm, config in arms.items():
        wanted.setdefault(kind_of(config), arm)
    with _alone(asked.place):
        _tidy(asked.place.cache_dir)
        for kind, arm in wanted.items():
            title = "timing steps" if len(wanted) == 1 else f"timing steps of {arm} and its like"
            kept = _read(asked.file(arms[arm]))
            found[kind] = kept or _measured(_Trial(arm=arm, config=arms[arm], title=title), asked, progress)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What is timed."""

    arm: str
    config: Config
    title: str
    """What its progress is called."""


def _measured(trial: _Trial, asked: Asked, progress: Progress) -> Timing:
    timing = together(_side_by_side(trial, asked, progress))
    with _writing(asked.place):
        write_json(asked.file(trial.config), {"format": FORMAT, **timing.to_dict()})
    return timing


def _read(file: Path) -> Timing | None:
    """What the file holds; None where it is not there, or holds something else: it is measured anew."""
    try:
        content = read_json(file)
        return Timing.from_dict({name: value for name, value in content.items() if name != "format"})
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _side_by_side(trial: _Trial, asked: Asked, progress: Progress) -> list[Timing]:
    """What each of as many trials as run at once measured, while the others did the same."""
    with _folder(asked.place) as folder, ExitStack() as stack:
        question = folder / "asked.json"
        with _writing(asked.place):
            write_json(question, _question(trial, asked))
        started = [
            stack.enter_context(_started(question, number, folder / f"{number}.log", asked))
            for number in range(asked.beside)
        ]
        watchdog = threading.Timer(LIMIT, _kill, [started])
        stack.callback(watchdog.cancel)
        watchdog.start()
        first, *others = started
        return [_heard(first, progress, trial.title), *(_heard(worker, no_progress, "") for worker in others)]


def _question(trial: _Trial, asked: Asked) -> dict[str, Any]:
    return {
        "arm": trial.arm,
        "config": same_kind(trial.config).to_dict(),
        "data_dir": str(asked.place.data_dir),
        "cache_dir": str(asked.place.cache_dir),
        "threads": max(1, int(asked.cpus)),
        "micro_batch": asked.micro_batch,
        "gpus": asked.gpus,
    }


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Time nothing beside another process's timing. Raises TimingError where the cache folder cannot be written."""
    with ExitStack() as stack:
        try:
            stack.enter_context(place.alone("timing"))
        except UserError as error:
            raise TimingError(str(error)) from None
        yield


@contextmanager
def _writing(place: Place) -> Iterator[None]:
    """For what writes to the cache folder. Raises TimingError where it cannot: nothing else waits for it."""
    try:
        yield
    except OSError as error:
        raise TimingError(f"{place.cache_dir} must have room for a timing: {error.strerror or error}") from None


@contextmanager
def _folder(place: Place) -> Iterator[Path]:
    """A folder for the checkpoints of the timed trials, gone afterwards."""
    with _writing(place):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place.cache_dir))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tidy(cache: Path) -> None:
    """Remove what a killed timing left; the caller holds the lock, so it is nobody's."""
    for left_behind in cache.glob(f"{_PREFIX}*"):
        shutil.rmtree(left_behind, ignore_errors=True)


@contextmanager
def _started(question: Path, number: int, log: Path, asked: Asked) -> Iterator["subprocess.Popen[str]"]:
    """A timing under way; it is ended with the block, whatever ends that."""
    command = [sys.executable, "-m", "dermtune.timing.worker", str(question), str(number)]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            env=_environment(number, asked),
            start_new_session=True,  # Ctrl-C is ours to hear
        ) as worker,
    ):
        try:
            yield worker
        finally:
            worker.kill()


def _environment(number: int, asked: Asked) -> dict[str, str]:
    """Where it finds this very dermtune and, of several GPUs, the one that is its own."""
    here = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    if asked.gpus and len(asked.machine.gpus) > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(asked.machine.gpus)))))
        first, n = int(number * asked.gpus), math.ceil(asked.gpus)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible.split(",")[first : first + n])
    return environment


def _heard(worker: "subprocess.Popen[str]", progress: Progress, title: str) -> Timing:
    """What the worker says at its end; on the way, how far it is."""
    for line in worker.stdout or ():
        said = json.loads(line)
        if "timing" in said:
            return Timing.from_dict(said["timing"])
        if "refused" in said:
            raise UserError(said["refused"])
        if "failed" in said:
            raise TimingError(said["failed"])
        progress(title, said["done"], said["of"])
    raise TimingError(f"the process that trained them ended with code {worker.wait()}")


def _kill(workers: Iterable["subprocess.Popen[str]"]) -> None:
    for worker in workers:
        worker.kill()
