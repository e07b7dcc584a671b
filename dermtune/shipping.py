"""The model that a sweep ends with: the best arm's, of its seeds the one that did best on val."""

from collections.abc import Sequence

from rich.console import Console

from analysis.recommendation import best_kept
from analysis.records import Comparison, Report
from analysis.words import count, higher_is_better, metric_title, unit_of
from dermtune.ledger import SweepFolder, TrialFolder
from dermtune.onval import val_score
from dermtune.plan import Plan
from dermtune.spared import spared_in
from dermtune.tracking import Chosen, Exporter


def log_model(report: Report, plan: Plan, folder: SweepFolder, exporter: Exporter, console: Console) -> None:
    """Hand the chosen trial's model to MLflow, or say in a line why there is none.

    The other trials' models are removed once every trial is done that is asked for: until then a later one may be
    the best; one that a look of adaptive repeats has spared is not waited for. Raises
    PredictionError where a val file cannot be read, MetricError where val lacks the metric's class.
    """
    chosen = choose(report, plan, folder)
    trial = folder.trial(chosen.trial.trial_id)
    if trial.has_model():
        exporter.offer(chosen)
        said = f"{chosen.trial.title}: {chosen.why}"
    else:
        said = (
            f"none is logged: the weights of {chosen.trial.title}, which would be it, were not kept; where "
            f"trials/{trial.path.name} is removed, the same command trains it again, to the same predictions"
        )
    console.print(f"model   {said}", soft_wrap=True, markup=False, highlight=False)
    not_asked = spared_in(folder, plan)
    _tidy([folder.trial(t.trial_id) for t in plan.trials if t.trial_id not in not_asked], keep=trial)


def choose(report: Report, plan: Plan, folder: SweepFolder) -> Chosen:
    """The trial of the best kept arm, or of the baseline where none is kept, that is best on val.

    The arm is chosen on test, by all of its seeds together; the seed never is.
    """
    best = best_kept(report)
    arm = best.arm if best else report.baseline
    done = [trial for trial in plan.trials if trial.arm == arm and folder.trial(trial.trial_id).is_done()]
    scores = {trial.seed: val_score(folder.trial(trial.trial_id), report.metric) for trial in done}
    chosen = (max if higher_is_better(report.metric) else min)(done, key=lambda trial: scores[trial.seed])
    score = unit_of(report.metric).score(scores[chosen.seed])
    seed = f"of {count(len(done), 'seed')} the best on val ({metric_title(report.metric)} {score}), never on test"
    return Chosen(trial=chosen, why=f"{_why(best)}; {seed}")


def _why(best: Comparison | None) -> str:
    if best is None:
        return "the arm is the baseline, none is kept"
    return f"the arm is kept{f', {best.label}' if best.label == 'at a cost' else ''}"


def _tidy(trials: Sequence[TrialFolder], *, keep: TrialFolder) -> None:
    """Remove every model but the kept trial's, unless trials are still to come."""
    if all(trial.is_done() for trial in trials):
        for trial in trials:
            if trial != keep:
                trial.drop_model()
