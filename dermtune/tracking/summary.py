"""What a report says, as metrics and tags of MLflow's runs: read from its JSON, no mlflow here."""

from collections.abc import Mapping
from typing import Any

MEANS = ("top1", "top3", "balanced_accuracy", "ece")
"""An arm's means that the parent run shows, beside the sweep's metric."""

_OF_ARM = {"run_sd": "sd"}
_OF_COMPARISON = {
    "delta": "delta",
    "delta_low": "ci_low_simultaneous",
    "delta_high": "ci_high_simultaneous",
    "p_adjusted": "p_adjusted",
    "probability_better": "probability_better",
}
"""Names of metrics, and the report's keys that they show; the UI draws what stands before a `/` in one section."""
_OF_NOISE = {
    "run_sd": "sd",
    "run_sd_low": "ci_low",
    "run_sd_high": "ci_high",
    "seed_correlation": "seed_correlation",
}
_OF_CALIBRATION = {"temperature": ("temperature", "mean"), "ece_calibrated": ("after", "ece")}
_OF_TREATED = {
    "posthoc_delta": ("primary", "delta"),
    "posthoc_delta_low": ("ci_low_simultaneous",),
    "posthoc_delta_high": ("ci_high_simultaneous",),
}
_OF_PICK = {
    "search_delta": ("first",),
    "fresh_delta": ("fresh",),
    "shrinkage": ("shrinkage",),
}
_OF_PICKING = {
    "shrinkage": ("optimism", "mean"),
    "shrinkage_low": ("optimism", "ci_low"),
    "shrinkage_high": ("optimism", "ci_high"),
    "by_chance": ("yardstick", "best"),
}
_OF_ABSTAINING = {
    "answered": ("answer", "share", "mean"),
    "answered_error": ("answer", "risk", "mean"),
}


def summary_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """The report's figures as metrics of the parent run: `delta/focal_gamma 2`, `noise/run_sd`, `verdicts/keep`.

    A figure that the report has not, because of its age or its data, is left out.
    """
    verdicts = [comparison.get("verdict") for comparison in report["comparisons"]]
    figures: dict[str, Any] = {
        **_by_arm(report["arms"], {report["metric"]: "mean", **{name: name for name in MEANS}, **_OF_ARM}),
        **_by_arm(report["comparisons"], _OF_COMPARISON),
        **{f"noise/{name}": _at(report, "noise", key) for name, key in _OF_NOISE.items()},
        **{f"verdicts/{verdict}": verdicts.count(verdict) for verdict in ("keep", "reject", "inconclusive")},
        **_within(_at(report, "calibration"), "arm", _OF_CALIBRATION),
        **_within(_treated(report), "name", _OF_TREATED),
        **_within(_at(report, "abstain", "arms"), "arm", _OF_ABSTAINING),
        **_picked(_at(report, "selection")),
    }
    return {key: float(value) for key, value in figures.items() if isinstance(value, int | float)}


def summary_tags(report: Mapping[str, Any]) -> dict[str, str]:
    """What to ship, and each arm's verdict: `verdict/focal_gamma 2` = `keep, practical`."""
    ship = _at(report, "recommendation", "ship")
    said = {f"verdict/{_metric_name(arm)}": verdict for arm, verdict in verdicts(report).items()}
    return {"ship": ship, **said} if ship else said


def verdicts(report: Mapping[str, Any]) -> dict[str, str]:
    """Each compared arm's verdict with its label."""
    return {
        comparison["arm"]: ", ".join(filter(None, (comparison["verdict"], comparison.get("label"))))
        for comparison in report["comparisons"]
        if "verdict" in comparison
    }


def seed_deltas(report: Mapping[str, Any]) -> dict[tuple[str, int], float]:
    """The delta of each arm and seed against the baseline's run with the same seed, on the report's metric."""
    return {
        (comparison["arm"], seed): delta
        for comparison in report["comparisons"]
        for seed, delta in zip(comparison.get("seeds", ()), comparison.get("seed_deltas", ()), strict=False)
    }


def selection_metrics(selection: Mapping[str, Any]) -> dict[str, float]:
    """What a first stage found, as metrics of its run: `importance/focal_gamma`, `tried/done`, `on_val/pick-1`."""
    tried, metric = {one["number"]: one for one in selection["tried"]}, selection["metric"]
    states = [one["state"] for one in tried.values()]
    scores = {picked["arm"]: tried[picked["number"]]["scores"][metric] for picked in selection["picks"]}
    if metric in tried[0]["scores"]:
        scores["baseline"] = tried[0]["scores"][metric]
    return {
        **{f"importance/{lever}": float(share) for lever, share in selection["importances"].items()},
        **{f"tried/{state}": float(states.count(state)) for state in ("done", "pruned", "failed")},
        **{f"on_val/{_metric_name(arm)}": float(score) for arm, score in scores.items()},
    }


def selection_tags(selection: Mapping[str, Any]) -> dict[str, str]:
    """Each pick and what it changes: `picked/pick-1` = `focal_gamma=1.9`."""
    return {
        f"picked/{_metric_name(picked['arm'])}": ", ".join(f"{k}={v}" for k, v in picked["levers"].items())
        for picked in selection["picks"]
    }


def picked_trials(selection: Mapping[str, Any]) -> dict[str, str]:
    """The arm that each picked trial of the first stage became, by trial_id."""
    trials = {one["number"]: one["trial_ids"] for one in selection["tried"]}
    return {trial_id: picked["arm"] for picked in selection["picks"] for trial_id in trials[picked["number"]]}


def _by_arm(rows: list[Mapping[str, Any]], keys: Mapping[str, str]) -> dict[str, Any]:
    return {f"{name}/{_metric_name(row['arm'])}": row.get(key) for name, key in keys.items() for row in rows}


def _treated(report: Mapping[str, Any]) -> list[Any]:
    """The treatments after training of the arm to ship: those of all arms are in the report."""
    ship = _at(report, "recommendation", "ship")
    return [treated for treated in report.get("posthoc") or () if treated["arm"] == ship]


def _picked(selection: Any) -> dict[str, Any]:
    """What a first stage saw, what of it was luck, and its levers' importances; nothing without one."""
    importances = _at(selection, "first_stage", "importances") or {}
    return {
        **_within(_at(selection, "confirmed"), "arm", _OF_PICK),
        **{f"picking/{name}": _at(selection, *path) for name, path in _OF_PICKING.items()},
        **{f"importance/{_metric_name(lever)}": share for lever, share in importances.items()},
    }


def _within(rows: Any, name: str, paths: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Of each row, known by its `name`, what stands at the paths; nothing where the report has no such rows."""
    return {
        f"{metric}/{_metric_name(row[name])}": _at(row, *path)
        for metric, path in paths.items()
        for row in rows or ()
    }


def _at(document: Any, *path: str) -> Any:
    """What stands at the end of the path; None where it ends earlier."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _metric_name(arm: str) -> str:
    """The arm in the characters that MLflow allows in a metric's name."""
    return arm.replace("=", " ").replace("+", " - ")
