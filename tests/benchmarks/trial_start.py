"""How long a worker idles between two trials, with and without a new process for each.

Run:      python -m tests.benchmarks.trial_start
Measures: from the moment a trial is sealed to the moment the next one on the same slot begins. The workers are
          fakes that train nothing and import no torch; a new process that trains pays for that import on top.
"""

import statistics
import tempfile
from pathlib import Path
from unittest import mock

from ray import tune
from rich.console import Console

from dermtune import tuner
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from dermtune.tuner.cluster import connected
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake

N_TRIALS = {True: 40, False: 10}
"""By whether the process is used again."""


def gaps(folder: Path, *, reuse: bool) -> list[float]:
    """Seconds from each trial's seal to the next one's begin, one slot."""

    def config(**asked: object) -> tune.TuneConfig:
        return tune_config(**{**asked, "reuse_actors": reuse})

    tune_config, diary = tune.TuneConfig, Diary(folder / "diary")
    with mock.patch.object(tune, "TuneConfig", config):
        trials = planned(n_arms=1, n_seeds=N_TRIALS[reuse]).trials
        tuner.run(trials, SweepFolder(folder / "sweep"), PLACE, Machines(cpus=cores()), execute=Fake(diary=diary))
    began, sealed = diary.notes("began"), diary.notes("sealed")
    return [after.at - before.at for before, after in zip(sealed, began[1:], strict=False)]


def cores() -> float:
    """All of the machine's, so that there is one slot."""
    import ray

    return ray.cluster_resources()["CPU"]


def main() -> None:
    console, medians = Console(highlight=False), {}
    with connected(None):
        for reuse in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                seconds = gaps(Path(folder), reuse=reuse)
            medians[reuse] = statistics.median(seconds)
            how = "one process for all" if reuse else "a process for each"
            console.print(
                f"{how}: median {medians[reuse]:.3f} s, longest {max(seconds):.3f} s, {len(seconds)} trial starts"
            )
    console.print(f"a new process takes {medians[False] / medians[True]:.0f} times as long")


if __name__ == "__main__":
    main()
