"""A study: arms tested on the same images."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.findings.labels import LabelFile
from analysis.findings.selection import FirstStage
from analysis.metrics import Floats, Outcome
from analysis.posthoc import PostHoc
from analysis.split import Split
from analysis.words import count, named

Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What ends a line, steers a terminal or makes an SVG unreadable."""


class SourceError(ValueError):
    """What cannot be judged; the message names the file and says what must hold and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One run's predictions on the test set, as one file has them."""

    source: str
    """The file, as messages name it."""
    arm: str
    seed: int
    classes: tuple[str, ...]
    sample_id: Strings
    """Images, [N], each once."""
    group_id: Strings
    """What each image belongs to, [N]; the image itself where nothing else is known."""
    label: Ints
    """Index into `classes`, [N]."""
    probabilities: Floats
    """[N, K], rows summing to one."""
    logits_hflip: NDArray[np.floating] | None = None
    """Of the mirrored images, [N, K]; None where no file has them."""
    val: Split | None = None
    """What the same run says of the validation set; None where that is not read."""

    @property
    def test(self) -> Split:
        """The same as a split, with the logarithms of the probabilities for logits."""
        floor = np.finfo(np.float64).tiny
        logits = np.log(np.maximum(self.probabilities, floor))
        return Split(label=self.label, logits=logits, logits_hflip=self.logits_hflip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The labels of a test set, corrected."""

    label: Ints
    """The class to judge by, [N]."""
    given: Ints
    """The class that the predictions came with, [N]."""
    file: LabelFile
    """What the corrections came from."""

    @property
    def said(self) -> str:
        """What was done, in a line."""
        of, n_changed = self.file, int((self.label != self.given).sum())
        counts = [f"{n_changed:,} of {count(len(self.label), 'test image')} changed"]
        counts += [f"{of.n_kept:,} that it does not name keep theirs"] if of.n_kept else []
        counts += [f"of {of.n_tied:,} several classes share the largest weight"] if of.n_tied else []
        counts += [f"of {of.n_unsure:,} no class has more than half of it"] if of.n_unsure else []
        return f"labels are corrected by {of.source}: {', '.join(counts)}"


Correction: TypeAlias = Callable[[Tested], Corrected]
"""What corrects a file's labels; SourceError where it is of other images or classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A run that was asked for and cannot be used."""

    arm: str
    seed: int
    state: str
    """`missing`, `failed`, `diverged` or `damaged`."""
    why: str = ""

    @property
    def title(self) -> str:
        """The run as a person names it, with the reason."""
        name = f"{self.arm} · seed {self.seed}"
        return f"{name} ({self.why})" if self.why else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm x one seed on the test set."""

    seed: int
    outcome: Outcome
    """What it did with each image, in the study's order."""
    posthoc: PostHoc | None = None
    """What is made of it after training; None where nobody asked."""
    given: Outcome | None = None
    """`outcome` under the labels that its file has; None where they are not corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One named configuration and its runs."""

    name: str
    levers: Mapping[str, Any]
    """Lever values; empty for foreign files."""
    runs: tuple[Run, ...]
    """In the order of their seeds; none where scores alone are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked."""

    name: str
    sentence: str
    """First line of the sweep file; empty for foreign files."""
    baseline: str
    arms: Mapping[str, Mapping[str, Any]]
    """Each arm's levers, in the order they were asked for."""
    primary_metric: str = "balanced_accuracy"
    guard_metrics: tuple[str, ...] = ("top1",)
    margin: float = 0.006
    """Smallest difference that matters, as a fraction."""
    seeds: tuple[int, ...] = ()
    """Seeds in the sweep's order; empty for foreign files."""
    looks: tuple[int, ...] = ()
    """Numbers of seeds at which the sweep says that results are looked at, ascending."""
    looks_taken: tuple[int, ...] = ()
    """Numbers of seeds of earlier reports, ascending."""
    repeats: Literal["fixed", "adaptive"] = "fixed"
    """`adaptive`: an arm that a look has decided gets no further seeds."""

    @property
    def adaptive(self) -> bool:
        """Whether arms stop at looks of their own."""
        return self.repeats == "adaptive" and bool(self.looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A question with the runs that answer it, all on the same images."""

    question: Question
    classes: tuple[str, ...]
    sample_id: Strings
    """Images, [N], ascending."""
    group_id: Strings
    """Lesion, patient or case of each image, [N]."""
    label: Ints
    """Index into `classes`, [N]."""
    arms: tuple[Arm, ...]
    """Arms with a run, in the order they were asked for."""
    corrected: Corrected | None = None
    """Where `label` comes from; None where it is what the files have."""
    set_aside: tuple[SetAside, ...] = ()
    """Runs that were asked for and cannot be used."""
    problems: tuple[str, ...] = ()
    """What is missing or was set right, one line each."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    selection: FirstStage | None = None
    """What found the arms; None where nothing did, or nobody asked."""


def n_diverged(study: Study, arm: str) -> int:
    """Runs of the arm that diverged: no accident, but what this arm does with some seeds."""
    return sum(run.arm == arm and run.state == "diverged" for run in study.set_aside)


def on_seeds(study: Study, seeds: Collection[int]) -> Study:
    """The study with the runs of these seeds alone; an arm that has none of them is left out, and that is said."""
    kept = [on_these(arm, seeds) for arm in study.arms]
    arms = tuple(arm for arm in kept if arm.runs)
    told = [line for line in study.problems if line not in unequal_seeds(_seeds(study.arms))]
    without = [
        f"arm {arm.name} has no finished run with these seeds and is left out" for arm in kept if not arm.runs
    ]
    return replace(
        study,
        arms=arms,
        set_aside=tuple(run for run in study.set_aside if run.seed in seeds),
        problems=(*told, *without, *unequal_seeds(_seeds(arms))),
    )


def on_these(arm: Arm, seeds: Collection[int]) -> Arm:
    """The arm with its runs of these seeds; itself where it has no others."""
    return replace(arm, runs=tuple(run for run in arm.runs if run.seed in seeds))


def on_first(study: Study, n_seeds: Mapping[str, int], *, still_to_come: Collection[str]) -> Study:
    """The study with each arm's first so many seeds of the sweep's.

    Of the arms `still_to_come` a run that is missing is said, of any other those alone that should have been there.
    """
    order, seeds = study.question.seeds, {arm: set(study.question.seeds[:n]) for arm, n in n_seeds.items()}
    kept = [on_these(arm, seeds[arm.name]) for arm in study.arms]
    arms = tuple(arm for arm in kept if arm.runs)
    aside = [run for run in study.set_aside if run.seed in (order if run.arm in still_to_come else seeds[run.arm])]
    made = {*aside_lines(study.set_aside, _n_runs(study)), *unequal_seeds(_seeds(study.arms))}
    lacks = [
        f"{arm.name} lacks {', '.join(map(str, lacking))}"
        for arm in arms
        if (lacking := sorted(seeds[arm.name] - {run.seed for run in arm.runs}))
    ]
    without = [
        f"arm {arm.name} has no finished run with these seeds and is left out" for arm in kept if not arm.runs
    ]
    return replace(
        study,
        arms=arms,
        set_aside=tuple(run for run in aside if run.seed in seeds[run.arm]),
        problems=(
            *(line for line in study.problems if line not in made),
            *aside_lines(aside, len(aside) + sum(len(arm.runs) for arm in study.arms)),
            *without,
            *([f"seeds that arms lack: {named(lacks, '; ')}"] if lacks else []),
        ),
    )


def as_given(study: Study) -> Study:
    """The study by the labels that its files have; itself where none was corrected."""
    if study.corrected is None:
        return study
    return replace(study, label=study.corrected.given, arms=tuple(map(_arm_as_given, study.arms)), corrected=None)


def _arm_as_given(arm: Arm) -> Arm:
    """With nothing that was made of it under other labels."""
    runs = tuple(replace(run, outcome=run.given or run.outcome, given=None, posthoc=None) for run in arm.runs)
    return replace(arm, runs=runs)


def _n_runs(study: Study) -> int:
    """Runs that were asked for."""
    return len(study.set_aside) + sum(len(arm.runs) for arm in study.arms)


def aside_lines(aside: Sequence[SetAside], n_runs: int) -> list[str]:
    """One line a state, with a count and the names."""
    lines = []
    for state in dict.fromkeys(run.state for run in aside):
        of_state = [run.title for run in aside if run.state == state]
        verb = "is" if len(of_state) == 1 else "are"
        lines.append(f"{len(of_state)} of {n_runs} runs {verb} {state}: {named(of_state)}")
    return lines


def check_names(source: str, what: str, names: Iterable[str]) -> None:
    """Raise SourceError for a name that would break a line or steer a terminal."""
    for name in filter(_CONTROL.search, names):
        raise SourceError(f"{source}: {what}'s name must be one line without control characters, got {name!r}")


def unequal_seeds(seeds: Mapping[str, set[int]]) -> list[str]:
    """One line where the arms do not share one list of seeds."""
    union = set().union(*seeds.values())
    lacks = [
        f"{name} lacks {', '.join(map(str, sorted(union - of_arm)))}"
        for name, of_arm in seeds.items()
        if union - of_arm
    ]
    return [f"the arms' seeds differ: {named(lacks, '; ')}"] if lacks else []


def _seeds(arms: Sequence[Arm]) -> dict[str, set[int]]:
    return {arm.name: {run.seed for run in arm.runs} for arm in arms}
