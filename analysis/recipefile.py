"""The winning arm as a recipe file: Python source that `python -m dermtune.sweep --recipe` takes."""

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.recommendation import after_training, best_kept
from analysis.records import Comparison, Report
from analysis.study import SourceError
from analysis.words import interval_title, metric_title, seed_counts, unit_of, verdict_words

_WIDTH = 88
"""Columns that a line may have; a record that is longer stands field by field."""
_RECORDS = {
    "config": "Config",
    "data": "DataConfig",
    "levers": "Levers",
    "model": "ModelConfig",
    "synthetic": "SyntheticConfig",
    "training": "TrainingConfig",
}
"""Class of each record in a manifest's config."""
_TUPLES = ("pixel_mean", "pixel_std")
"""Fields that JSON holds as lists."""


def recipe_source(report: Report, path: Path) -> str:
    """Source of a recipe with the full configuration of the arm to ship: the best kept one, else the baseline.

    The configuration is the one that the arm's manifests in the sweep's folder hold, every field spelt out.

    Raises SourceError where PATH is no sweep's folder, or its trials say no configuration or several.
    """
    best = best_kept(report)
    arm = best.arm if best else report.baseline
    asked = _sweep(path)
    config = _config(path, asked, arm)
    return _SOURCE.format(
        title=f"{arm} of {report.name} on {asked['recipe']}, to be trained for use",
        said="\n".join(_said(report, best)),
        imports=_imports(config),
        after=_comments(after_training(report, arm)),
        name=_quoted(re.sub(r"\W+", "_", f"{asked['recipe']}_{arm}").strip("_")),
        config=_source("config", config, indent=8, taken=len("        config=")),
    )


_SOURCE = '''\
"""{title}.

{said}
"""

{imports}
from dermtune.recipes import Recipe

{after}
def recipe() -> Recipe:
    """The whole configuration, so that no later default can change it."""
    return Recipe(
        name={name},
        config={config},
    )
'''


def _sweep(path: Path) -> Mapping[str, Any]:
    file = path / "sweep.json"
    if not file.is_file():
        raise SourceError(
            f"--write-recipe needs a sweep's folder, whose trials hold their configuration, got {path}"
        )
    asked: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(asked.get("recipe"), str):
        raise SourceError(f"{file} must name the recipe, it names none")
    return asked


def _config(path: Path, asked: Mapping[str, Any], arm: str) -> Mapping[str, Any]:
    """The one configuration of the arm's done trials."""
    folders = [path / "trials" / trial["trial_id"] for trial in asked["trials"] if trial["arm"] == arm]
    manifests = [
        json.loads(file.read_text(encoding="utf-8")) for f in folders if (file := f / "manifest.json").exists()
    ]
    found = {json.dumps(manifest["config"], sort_keys=True) for manifest in manifests if manifest.get("config")}
    if len(found) != 1:
        raise SourceError(f"{path}: the manifests of {arm} must hold one configuration, they hold {len(found)}")
    config: Mapping[str, Any] = json.loads(found.pop())
    return config


def _said(report: Report, best: Comparison | None) -> Iterator[str]:
    """What the recipe rests on, and how it is trained."""
    metric = metric_title(report.metric)
    if best is None:
        yield f"Verdict:  no arm is shown to beat the baseline in {metric}; this is the baseline."
    else:
        unit = unit_of(report.metric)
        ends = unit.interval(best.ci_low_simultaneous, best.ci_high_simultaneous) + unit.symbol
        yield f"Verdict:  {verdict_words(best)}; {unit.said(best.delta)} in {metric} over the baseline"
        yield f"          ({interval_title(report.level_of(best))} {ends})."
    evidence = f"{seed_counts(arm.n_seeds for arm in report.arms)}, {report.n_images:,} test images"
    yield f"Evidence: {evidence}{_made_from(report.provenance)}."
    yield "Run:      python -m dermtune.sweep sweeps/repeat_baseline.py --recipe FILE --data DIR --log-model"


def _made_from(provenance: Mapping[str, Any]) -> str:
    """Data and commit, as far as they are known."""
    known = (("data", "data_fingerprint"), ("commit", "commit"))
    return "".join(f", {name} {str(provenance[key])[:12]}" for name, key in known if provenance.get(key))


def _imports(config: Mapping[str, Any]) -> str:
    classes = sorted({*_classes({"config": config})})
    line = f"from dermtune.config import {', '.join(classes)}"
    block = "\n".join(["from dermtune.config import (", *(f"    {name}," for name in classes), ")"])
    return line if len(line) <= _WIDTH else block


def _comments(sentences: Sequence[str]) -> str:
    """The sentences above the function, with the two lines that stand before it."""
    lines = [textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ") for text in sentences]
    return "\n".join([*lines, "", ""]) if lines else ""


def _classes(config: Mapping[str, Any]) -> Iterator[str]:
    """Classes of all records in the config."""
    for key, value in config.items():
        if key in _RECORDS and isinstance(value, Mapping):
            yield _RECORDS[key]
            yield from _classes(value)


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A value of several items, as source: a record, a dict, a tuple or a list."""

    opening: str
    items: Sequence[tuple[str, str, Any]]
    """What stands before each item, the field that it is, and its value."""
    closing: str


def _source(key: str, value: Any, indent: int, taken: float) -> str:
    """The value in one line where there is room behind the `taken` columns, else item by item; as ruff has it."""
    if isinstance(value, str):
        return _quoted(value)
    if not isinstance(value, Mapping | list):
        return repr(value)
    bracket = _bracket(key, value)
    inside = ", ".join(before + _source(field, item, 0, -math.inf) for before, field, item in bracket.items)
    line = f"{bracket.opening}{inside}{bracket.closing}"
    if taken + len(line) + 1 <= _WIDTH:
        return line
    margin = " " * (indent + 4)
    lines = (
        f"{margin}{before}{_source(field, item, indent + 4, indent + 4 + len(before))},\n"
        for before, field, item in bracket.items
    )
    return f"{bracket.opening}\n{''.join(lines)}{' ' * indent}{bracket.closing}"


def _bracket(key: str, value: Mapping[str, Any] | list[Any]) -> _Bracket:
    if isinstance(value, list):
        opening, closing = "()" if key in _TUPLES else "[]"
        return _Bracket(opening, [("", "", item) for item in value], closing)
    if key in _RECORDS:
        return _Bracket(f"{_RECORDS[key]}(", [(f"{name}=", name, item) for name, item in value.items()], ")")
    return _Bracket("{", [(f"{_quoted(name)}: ", "", item) for name, item in value.items()], "}")


def _quoted(text: str) -> str:
    """The text in double quotes, or in single ones where it holds the others alone."""
    return repr(text) if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)
