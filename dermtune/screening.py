"""What a screening's trials say of its arms."""

import statistics
from collections.abc import Sequence

from analysis.metrics import OVERALL
from dermtune.firstplan import without_tuning
from dermtune.ledger import SweepFolder
from dermtune.onval import val_score
from dermtune.plan import Plan, Trial
from dermtune.selection import Tried


def screened(of_first: Plan, folder: SweepFolder) -> tuple[Tried, ...]:
    """Each arm with its mean scores over the screening's seeds, the baseline first.

    An arm is done where all of its trials are. Raises PredictionError where a val file cannot be read.
    """
    names = [arm.name for arm in of_first.arms]
    by_arm = {name: [trial for trial in of_first.trials if trial.arm == name] for name in names}
    return tuple(_tried(of_first, folder, number, by_arm[name]) for number, name in enumerate(names))


def _tried(of_first: Plan, folder: SweepFolder, number: int, trials: Sequence[Trial]) -> Tried:
    folders = [folder.trial(trial.trial_id) for trial in trials]
    done = all(one.is_done() for one in folders)
    sweep, epochs = of_first.sweep, trials[0].config.training.epochs
    metrics = dict.fromkeys((*OVERALL, sweep.primary_metric, *sweep.guard_metrics)) if done else ()
    return Tried(
        number=number,
        name=trials[0].arm,
        levers=without_tuning(trials[0].levers),
        trial_ids=tuple(trial.trial_id for trial in trials),
        state="done" if done else "failed",
        epochs=epochs if done else max(one.epochs_kept() for one in folders),
        scores={metric: statistics.fmean(val_score(one, metric) for one in folders) for metric in metrics},
    )
