"""The two stages of a sweep as plans: what finds its arms on val, and what judges them on test."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dermtune.config import Config, Scalar
from dermtune.levers import Levers
from dermtune.picking import objectives, stage_of
from dermtune.plan import BASELINE, Arm, Plan, PlanError, Screen, Search, Sweep, Trial, plan
from dermtune.selection import STAGES, Picked, Selection, Tried

SCREENED = "head"
"""What a screening trains: a linear head on the frozen backbone."""
TO_COME = "to come"
"""In trials that stand for those which are not found yet: in the place of the data, or of the arm's name."""
TUNINGS = ("tuning", "tuned_blocks", "lora_rank", "lora_alpha")
"""Levers that say what is trained, which in a screening it says itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first stage of a sweep, as far as it is."""

    sweep: Sweep
    """As its file has it."""
    plan: Plan
    """The stage's trials; of a search those of the points proposed so far, the baseline first."""
    selection: Selection | None = None
    """What it picked; None until it has ended."""

    @property
    def name(self) -> str:
        """In messages."""
        return STAGES[self.plan.stage or "search"]

    @property
    def n_trials(self) -> int:
        """Trials of the whole stage."""
        stage = self.sweep.first
        return max(len(self.plan.trials), stage.n_points if isinstance(stage, Search) else 0)


def first_plan(
    sweep: Sweep, config: Config, *, recipe: str, fingerprints: Mapping[str, str], points: Sequence[Trial] = ()
) -> Plan:
    """The first stage's trials: of a screening all, of a search the baseline's and those of the `points` so far.

    Raises PlanError or ConfigError.
    """
    if isinstance(sweep.first, Screen):
        return _screening(sweep, sweep.first, config, recipe, fingerprints)
    if sweep.first is None:
        raise PlanError("there must be a `first` stage to plan, got none")
    seeds = tuple(sweep.first.seeds)
    alone = plan(_alone(sweep, seeds), config, recipe=recipe, fingerprints=fingerprints)
    return with_points(replace(alone, stage="search"), points)


def with_points(of_baseline: Plan, points: Sequence[Trial]) -> Plan:
    """A search's plan that has the trials of these points, the baseline's among them or not."""
    baseline = of_baseline.trials[0]
    others = [trial for trial in points if trial.trial_id != baseline.trial_id]
    arms = [Arm(name=trial.arm, levers=trial.levers) for trial in others]
    return replace(of_baseline, arms=(of_baseline.arms[0], *arms), trials=(baseline, *others))


def points_of(of_baseline: Plan, tried: Sequence[Tried]) -> tuple[Trial, ...]:
    """The trials of a search's points. Raises PlanError where a point has not the trial_id that its levers give."""
    baseline = of_baseline.trials[0]
    return tuple(_point(of_baseline, baseline, one) for one in tried)


def judged(sweep: Sweep, picks: Sequence[Picked] = ()) -> Sweep:
    """The second stage: the picks as arms, with the sweep's seeds; without picks the baseline alone."""
    return replace(sweep, first=None, grid={}, arms={picked.arm: picked.levers for picked in picks})


def second_plan(
    first: First, config: Config, *, recipe: str, fingerprints: Mapping[str, str], n_seeds: int | None = None
) -> Plan:
    """The trials that are judged. As long as nothing is picked, as many arms as may be, with the baseline's levers.

    Raises PlanError, where a seed is one of the first stage's too, or ConfigError.
    """
    picks = first.selection.picks if first.selection else ()
    whole = plan(judged(first.sweep, picks), config, recipe=recipe, fingerprints=fingerprints, n_seeds=n_seeds)
    if shared := sorted(set(whole.seeds) & set(first.plan.seeds)):
        raise PlanError(f"the second stage's seeds must be fresh, {shared[0]} is one of the {first.name}'s too")
    return whole if picks else _awaiting(whole, first)


def _awaiting(alone: Plan, first: First) -> Plan:
    """A plan of the baseline and of arms that are to be found: its size is true, its arms stand for them.

    Their trials have ids that no trial has.
    """
    most = first.n_trials - 1 if first.plan.stage == "search" else len(first.plan.arms) - 1
    stage = first.sweep.first
    names = [f"pick-{n}" for n in range(1, 1 + min(stage.confirm if stage else 0, most))]
    arms = (*alone.arms, *(replace(alone.arms[0], name=name) for name in names))
    trials = (
        trial if arm.name == BASELINE else replace(trial, arm=arm.name, fingerprints={TO_COME: arm.name})
        for trial in alone.trials
        for arm in arms
    )
    return replace(alone, arms=arms, trials=tuple(trials))


def candidates(first: First) -> dict[str, Config]:
    """The arms of a screening that may be judged, as they would be trained, by name."""
    return {arm.name: first.plan.config.with_levers(without_tuning(arm.levers)) for arm in first.plan.arms}


def without_tuning(levers: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """An arm's levers without those that the screening adds."""
    return {lever: value for lever, value in levers.items() if lever not in TUNINGS}


def kinds_of_model(configs: Mapping[str, Config]) -> dict[str, Config]:
    """Of those that train the same model the same way the first, by name: no other lever changes what it needs."""
    kinds: dict[tuple[Scalar, ...], str] = {}
    for name, config in configs.items():
        levers = config.levers
        kinds.setdefault((levers.ldam > 0, *(getattr(levers, lever) for lever in TUNINGS)), name)
    return {name: configs[name] for name in kinds.values()}


def question_of(sweep: Sweep, of_first: Plan) -> dict[str, Any]:
    """What the first stage is asked, as JSON has it: its picks are those of the same question."""
    stage = sweep.first
    asked: dict[str, Any] = {
        "stage": stage_of(stage),
        "objectives": list(objectives(sweep)),
        "seeds": list(of_first.seeds),
        "confirm": stage.confirm if stage else 0,
    }
    if isinstance(stage, Search):
        asked |= {
            "baseline": of_first.trials[0].trial_id,
            "space": _described(stage),
            "n_points": stage.n_points,
            "with_guards": stage.with_guards,
            "grace_epochs": stage.grace_epochs,
            "reduction": stage.reduction,
        }
    else:
        asked["trials"] = {f"{trial.arm} {trial.seed}": trial.trial_id for trial in of_first.trials}
    return asked


def _described(search: Search) -> dict[str, Any]:
    """The ranges as Optuna writes them."""
    from optuna.distributions import distribution_to_json  # the sweep file has imported it for its ranges

    return {lever: json.loads(distribution_to_json(values)) for lever, values in search.space.items()}


def _screening(sweep: Sweep, screen: Screen, config: Config, recipe: str, fingerprints: Mapping[str, str]) -> Plan:
    whole = plan(replace(sweep, first=None), config, recipe=recipe, fingerprints=fingerprints)
    for arm in whole.arms:
        _refuse_tunings(arm)
    frozen = replace(
        _alone(sweep, screen.seeds),
        arms={arm.name: _beside(arm.levers, sweep.baseline) for arm in whole.arms if arm.name != BASELINE},
        baseline={**sweep.baseline, **_frozen_backbone(config)},
    )
    return replace(plan(frozen, config, recipe=recipe, fingerprints=fingerprints), stage="screen")


def _frozen_backbone(config: Config) -> dict[str, Scalar]:
    """The levers of the screening itself: its tuning, and at their defaults what goes with the recipe's own."""
    plain = Levers()
    own = [lever for lever in TUNINGS if getattr(config.levers, lever) != getattr(plain, lever)]
    return {**{lever: getattr(plain, lever) for lever in own}, "tuning": SCREENED}


def _alone(sweep: Sweep, seeds: Sequence[int]) -> Sweep:
    """The baseline with a first stage's seeds, which is looked at once."""
    return replace(judged(sweep), seeds=tuple(seeds), looks=(), repeats="fixed")


def _refuse_tunings(arm: Arm) -> None:
    for lever in TUNINGS:
        if lever in arm.levers:
            raise PlanError(
                f"a sweep that screens must leave `{lever}` alone, for the screening trains the {SCREENED} and the "
                f"second stage what the recipe says, got {arm.levers[lever]!r} in arm {arm.name!r}"
            )


def _beside(levers: Mapping[str, Scalar], baseline: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {lever: value for lever, value in levers.items() if value != baseline[lever]}


def _point(of_baseline: Plan, baseline: Trial, one: Tried) -> Trial:
    levers = {**baseline.levers, **one.levers}
    trial = replace(baseline, arm=one.name, levers=levers, config=of_baseline.config.with_levers(levers))
    if one.trial_ids != (trial.trial_id,):
        raise PlanError(
            f"{one.name} must have the trial_id that its levers give, {trial.trial_id}, got {one.trial_ids!r}"
        )
    return trial
