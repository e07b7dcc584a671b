"""The JSON report, format 1: what other programs read. Keys are added, never renamed."""

import json
import math
from dataclasses import asdict, fields
from typing import Any

from analysis.metrics import OVERALL
from analysis.recommendation import recommend
from analysis.records import ArmSummary, Comparison, Effect, Report, Together

FORMAT = 1


def render_json(report: Report) -> str:
    """The report as JSON text, byte-identical for the same report; fractions, not points.

    An infinite number (the degrees of freedom of a variance taken as known) is `null`, and so is what only images
    could tell where scores alone are known.
    """
    return json.dumps(_finite(_document(report)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _document(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": report.name,
        "question": report.question,
        "metric": report.metric,
        "margin": report.margin,
        "estimand": report.estimand,
        "baseline": report.baseline,
        "n_images": report.n_images or None,
        "n_groups": report.n_groups or None,
        "n_classes": len(report.class_names) or None,
        "classes": report.class_names,
        "run_sd": report.run_sd,
        "noise_sd": report.noise_sd,
        "noise": asdict(report.noise) if report.noise else None,
        "n_resamples": report.n_resamples,
        "look": asdict(report.look) if report.look else None,
        "arms": [_arm(arm) for arm in report.arms],
        "comparisons": [_comparison(report, comparison) for comparison in report.comparisons],
        "effects": [_effect(effect) for effect in report.effects],
        "recommendation": _recommendation(report),
        "relabelled": asdict(report.relabelled) if report.relabelled else None,
        "label_noise": asdict(report.label_noise) if report.label_noise else None,
        "posthoc": [asdict(treated) for treated in report.posthoc],
        "calibration": [asdict(arm) for arm in report.calibration],
        "abstain": asdict(report.abstain) if report.abstain else None,
        "tail": asdict(report.tail) if report.tail else None,
        "repeats": _repeats(report),
        "selection": asdict(report.selection) if report.selection else None,
        "problems": report.problems,
        "provenance": report.provenance,
    }


def _arm(arm: ArmSummary) -> dict[str, Any]:
    return {
        "arm": arm.arm,
        "levers": arm.levers,
        "n_seeds": arm.n_seeds,
        "seeds": arm.seeds,
        "mean": arm.mean,
        "sd": arm.sd,
        **dict.fromkeys(OVERALL),
        **arm.scores,
        "seed_scores": arm.seed_scores,
        "classes": [asdict(score) for score in arm.classes],
    }


def _comparison(report: Report, comparison: Comparison) -> dict[str, Any]:
    sources = asdict(comparison.sources) if comparison.sources else None
    unknown = {} if report.n_images else dict.fromkeys(("v_img", "v_res", "sources"))
    return {**asdict(comparison), "n_seeds": len(comparison.seeds), "sources": sources, **unknown}


def _effect(effect: Effect) -> dict[str, Any]:
    """Flat; what an interaction alone has is null of a main effect."""
    flat = {"kind": effect.kind, **asdict(effect), **dict.fromkeys(field.name for field in fields(Together))}
    flat.pop("together")
    return flat | (asdict(effect.together) if effect.together else {})


def _repeats(report: Report) -> dict[str, Any] | None:
    """Where each arm stopped, with the trials that were spent and spared in all."""
    repeats = report.repeats
    return {**asdict(repeats), "spent": repeats.spent, "spared": repeats.spared} if repeats else None


def _recommendation(report: Report) -> dict[str, Any] | None:
    recommendation = recommend(report)
    return asdict(recommendation) if recommendation else None


def _finite(value: Any) -> Any:
    """The value in plain lists and dicts, non-finite floats as None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "items"):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
