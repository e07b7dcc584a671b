"""Whether done trials can be compared: tested on the same images, trained alike but for the question."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from analysis.words import count
from dermtune.config import Config, UserError, canonical_json
from dermtune.integrity.examination import SPLITS, Examined, Listed
from dermtune.integrity.finding import MOVE_AWAY, Finding


def unpaired(done: Sequence[Examined]) -> Iterator[Finding]:
    """Trials that were tested on something else than most, or trained on it."""
    for split in SPLITS:
        yield from _deviants(done, partial(_tested_on, split=split), f"{split}.parquet")
    yield from _deviants(done, _trained_on, "manifest.json")


def unequal_seeds(listed: Sequence[Listed]) -> Iterator[Finding]:
    """Arms that the plan gives other seeds than most."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for trial in listed:
        seeds[trial.arm].add(trial.seed)
    usual = Counter(map(frozenset, seeds.values())).most_common(1)
    for arm, of_arm in seeds.items():
        if of_arm != usual[0][0]:
            what = f"{arm} has other seeds than most arms: {', '.join(map(str, sorted(of_arm)))}"
            do = "give the sweep's command again, with as many --seeds as there are"
            yield Finding(severity="unpaired", file="sweep.json", what=what, do=do)


def mixed(done: Sequence[Examined]) -> Iterator[Finding]:
    """What trained the trials, where that is more than one thing."""
    manifests = [one.manifest for one in done if one.manifest is not None]
    packages = sorted({package for manifest in manifests for package in manifest.get("versions") or {}})
    values: dict[str, list[Any]] = {
        key: [manifest.get(key) for manifest in manifests]
        for key in ("commit", "device", "threads", "gpus", "micro_batch")
    }
    by_images = (manifest for manifest in manifests if manifest.get("frozen_features") is None)
    values["processes"] = [manifest.get("processes", 1) for manifest in by_images]
    values |= {
        f"version of {package}": [(manifest.get("versions") or {}).get(package) for manifest in manifests]
        for package in packages
    }
    for what, of_all in values.items():
        counted = Counter(str(value) for value in of_all)
        if len(counted) > 1:
            said = ", ".join(f"{_short(value)} ({count(n, 'trial')})" for value, n in counted.most_common())
            do = "compare with care, or move the fewer trials' folders away and run them again"
            yield Finding(severity="mixed", file="trials", what=f"they differ in {what}: {said}", do=do)


def _deviants(
    done: Sequence[Examined], values_of: Callable[[Examined], Mapping[str, str]], file: str
) -> Iterator[Finding]:
    """A finding for each trial that has a value other than most; the first of its values that differs is named."""
    values = {one.listed.trial_id: values_of(one) for one in done}
    usual = {
        what: Counter(of_one[what] for of_one in values.values() if what in of_one).most_common(1)[0][0]
        for what in dict.fromkeys(what for of_one in values.values() for what in of_one)
    }
    for one in done:
        mine = values[one.listed.trial_id]
        other = next((what for what, value in mine.items() if value != usual[what]), None)
        if other is not None:
            what = f"{one.listed.title}: has other {other} than most of the {count(len(done), 'trial')}"
            path = f"trials/{one.listed.trial_id}/{file}"
            yield Finding(severity="unpaired", file=path, what=what, do=MOVE_AWAY)


def _tested_on(one: Examined, *, split: str) -> Mapping[str, str]:
    return one.tested_on.get(split, {})


def _trained_on(one: Examined) -> Mapping[str, str]:
    """The data's fingerprint, and what of the config departs from the defaults beside the arm's levers.

    A manifest from before a field was there, or whose field cannot change a result, is the same as any other.
    """
    manifest = one.manifest or {}
    fingerprints, levers = manifest.get("fingerprints") or {}, manifest.get("levers") or {}
    shared = {"data": str(fingerprints.get("data"))}
    try:
        departures = Config.from_dict(manifest["config"]).departures()
    except (UserError, KeyError, TypeError, ValueError):
        return shared  # that is told of the trial already
    kept = {part: _without(fields, levers) for part, fields in departures.items()}
    return {**shared, "settings beside the levers": canonical_json({k: v for k, v in kept.items() if v})}


def _without(fields: Any, levers: Mapping[str, Any]) -> Any:
    return {name: v for name, v in fields.items() if name not in levers} if isinstance(fields, Mapping) else fields


def _short(value: str) -> str:
    """A commit by its first characters."""
    return value[:12] + ("+" if value.endswith("+") else "") if len(value) >= 40 else value
