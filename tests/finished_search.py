"""A first stage's `selection.json`, as a search or a screening leaves it; its scores are drawn."""

import json
from pathlib import Path

import numpy as np

RANGES = {"focal_gamma": (0.0, 5.0), "label_smoothing": (0.0, 0.2), "learning_rate_factor": (0.1, 10.0)}
SAMPLERS = ("uniform", "balanced")


def searched(*, n_points=24, confirm=3, seed=0, sd=0.006, gain=0.0, objectives=("balanced_accuracy",)):
    """What selection.json holds: points drawn in their ranges, a third of them pruned, one failed, the best picked.

    Each whole point's metric is .66, its `gain` where focal_gamma is 2, falling to nought away from it, and noise.
    """
    rng = np.random.default_rng(seed)
    base = {"focal_gamma": 0.0, "label_smoothing": 0.0, "learning_rate_factor": 1.0, "sampler": "uniform"}
    tried = [_tried(0, base, "done", 0.66 + sd * rng.normal(), objectives, rng)]
    for number in range(1, n_points):
        levers = {name: float(rng.uniform(*ends)) for name, ends in RANGES.items()}
        levers["learning_rate_factor"] = float(10 ** rng.uniform(-1, 1))
        levers["sampler"] = str(rng.choice(SAMPLERS))
        state = "failed" if number == n_points - 2 else "pruned" if number % 3 == 2 else "done"
        worth = gain * float(np.exp(-((levers["focal_gamma"] - 2) ** 2)))
        early = -0.05 * rng.random() if state == "pruned" else 0.0
        tried.append(_tried(number, levers, state, 0.66 + worth + early + sd * rng.normal(), objectives, rng))
    return document(tried, confirm=confirm, objectives=objectives)


def document(tried, *, stage="search", confirm=3, seeds=(1000,), objectives=("balanced_accuracy",), epochs=9):
    """The whole file: the best so many of the whole points are the picks."""
    whole = [one for one in tried[1:] if one["state"] == "done"]
    best = sorted(whole, key=lambda one: -one["scores"][objectives[0]])[:confirm]
    searching = stage == "search"
    picks = [
        {"arm": f"pick-{place}" if searching else one["name"], "number": one["number"], "levers": one["levers"]}
        for place, one in enumerate(best, start=1)
    ]
    shares = {"focal_gamma": 0.55, "learning_rate_factor": 0.3, "label_smoothing": 0.1, "sampler": 0.05}
    return {
        "format": 1, "split": "val", "stage": stage, "metric": objectives[0], "objectives": list(objectives),
        "seeds": list(seeds), "epochs": epochs, "tried": tried, "picks": picks,
        "importances": shares if searching else {},
        "asked": {"space": {lever: {"attributes": {"log": lever == "learning_rate_factor"}} for lever in RANGES}},
    }  # fmt: skip


def screened(scores, *, confirm=3):
    """What selection.json holds after a screening: each arm's score on a frozen backbone, the baseline first."""
    tried = [
        {"number": number, "name": name, "levers": {}, "trial_ids": [f"h{number}"], "state": "done", "epochs": 9,
         "scores": {"balanced_accuracy": score}}
        for number, (name, score) in enumerate(scores.items())
    ]  # fmt: skip
    return document(tried, stage="screen", confirm=confirm, seeds=(1000, 1001, 1002))


def write_selection(folder, plain) -> Path:
    """The file; where there is a sweep.json, its arms get the levers of the picks with their names."""
    if (folder / "sweep.json").exists():
        asked = json.loads((folder / "sweep.json").read_text())
        levers = {pick["arm"]: pick["levers"] for pick in plain["picks"]}
        asked["arms"] = [{**arm, "levers": levers.get(arm["arm"], arm["levers"])} for arm in asked["arms"]]
        (folder / "sweep.json").write_text(json.dumps(asked))
    path = folder / "selection.json"
    path.write_text(json.dumps(plain))
    return path


def _tried(number, levers, state, score, objectives, rng):
    others = {name: 0.9 - 0.5 * score + 0.005 * rng.normal() for name in objectives[1:]}
    scores = {objectives[0]: score, **others}
    return {
        "number": number, "name": f"point-{number}" if number else "baseline", "levers": levers,
        "trial_ids": [f"s{number}"], "state": state, "epochs": 2 if state == "pruned" else 9,
        "scores": {} if state == "failed" else scores,
    }  # fmt: skip
