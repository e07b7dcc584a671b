"""Forecasts of plans that nobody trains, as they are made and as they are printed."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.forecast import Forecast, Known, answer, forecast, pace, print_forecast
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, plan
from dermtune.recipes import laptop
from tests.plans import planned

RECIPE = replace(laptop(), seconds_per_trial=900.0)
STORY = planned(n_arms=8, n_seeds=5)
"""The story's design: eight arms, five seeds, a margin of 0.6 points."""
NOWHERE = SweepFolder(Path("nowhere"))


def manifests(the_plan, n):
    """Manifests of the first `n` trials."""
    return {trial.trial_id: {"seconds": 600.0} for trial in the_plan.trials[:n]}


def foreseen(
    the_plan=STORY,
    recipe=RECIPE,
    done=None,
    *,
    gpus=0.0,
    known=None,
    folder=NOWHERE,
    timings=None,
    beside=None,
    first=None,
    **limits,
) -> Forecast:
    done = done or {}
    missing = [trial.config for trial in the_plan.trials if trial.trial_id not in done]
    took = [(trial.config, done[trial.trial_id]["seconds"]) for trial in the_plan.trials if trial.trial_id in done]
    paced = pace(missing, recipe, done=took, timings=timings, beside=beside)
    weights, seconds = paced.weights(the_plan.trials), paced.mean(the_plan.trials)
    hours = TrialHours(
        expected=None if seconds is None else seconds * (gpus or 1) / 3600,
        measured=tuple(each["seconds"] / 3600 / weights[trial_id] for trial_id, each in done.items()),
    )
    budget = Budget(Books(folder, the_plan.trials, limits.get("usd_per_hour")), Limits(**limits), hours, weights)
    return forecast(the_plan, done, budget, paced, gpus=gpus, known=known or Known(), first=first)


def printed(what, width=200):
    file = io.StringIO()
    print_forecast(what, Console(file=file, width=width))
    return file.getvalue()


def row(text, name):
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return line.removeprefix(name).strip()


def sentences(what):
    return [sentence.text for sentence in answer(what)]


def crossed(*, n_seeds, **levels) -> Plan:
    """The plan of a full grid of levers with so many levels each."""
    grid = {lever: tuple(level / 10 for level in range(n)) for lever, n in levels.items()}
    return asking(planned(n_arms=2, n_seeds=n_seeds), grid=grid, baseline=dict.fromkeys(grid, 0.0))


def asking(of: Plan, **changes) -> Plan:
    """The plan of the same question but for these fields."""
    config = of.trials[0].config
    return plan(replace(of.sweep, **changes), config, recipe=of.recipe, fingerprints=of.trials[0].fingerprints)
