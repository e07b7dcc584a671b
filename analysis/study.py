"""A study: arms tested on the same images, put together from one prediction file a run."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.findings.labels import LabelFile
from analysis.metrics import Floats, Outcome, outcome
from analysis.posthoc import PostHoc, posthoc
from analysis.split import Split
from analysis.words import count

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


def assemble(
    question: Question,
    files: Iterable[Tested | SetAside],
    *,
    provenance: Mapping[str, Any],
    problems: Sequence[str] = (),
    quick: bool = False,
    labels: Correction | None = None,
) -> Study:
    """The study of these files: images in ascending order, arms in the question's, runs by seed.

    Each file is reduced to its outcome as it comes, so memory holds one file's probabilities at a time. What was
    set aside becomes a line of the problems. `quick` leaves out what is made after training; `labels` corrects
    those of the test images, all of which must agree in the files.

    Raises SourceError where files differ in images, labels, groups or classes, where there is none, or where a name
    cannot be printed in a line.
    """
    check_names(question.name, "an arm", question.arms)
    reference: Tested | None = None
    corrected: Corrected | None = None
    runs: dict[str, dict[int, Run]] = {name: {} for name in question.arms}
    aside: list[SetAside] = []
    for file in files:
        if isinstance(file, SetAside):
            aside.append(file)
            continue
        in_order = _sorted(file)
        if reference is None:
            check_names(file.source, "a class", file.classes)
            reference = in_order
            corrected = labels(reference) if labels else None
            truth = corrected.label if corrected else reference.label  # one array of labels serves all runs
        aligned = replace(_aligned(in_order, reference), label=truth)
        levers = None if quick else question.arms[file.arm]
        runs[file.arm][file.seed] = _run(aligned, corrected, levers)
    n_runs = len(aside) + sum(map(len, runs.values()))
    lines = _set_aside(aside, n_runs)
    if reference is None:
        raise SourceError(f"{question.name} must have at least one finished run: {'; '.join(lines)}")
    arms = tuple(
        Arm(name=name, levers=question.arms[name], runs=tuple(of_arm[seed] for seed in sorted(of_arm)))
        for name, of_arm in runs.items()
        if of_arm
    )
    return Study(
        question=question,
        classes=reference.classes,
        sample_id=reference.sample_id,
        group_id=reference.group_id,
        label=truth,
        arms=arms,
        corrected=corrected,
        set_aside=tuple(aside),
        problems=(
            *problems,
            *([corrected.said] if corrected else []),
            *lines,
            *_without_runs(runs),
            *unequal_seeds(_seeds(arms)),
            *_empty_classes(replace(reference, label=truth)),
        ),
        provenance=provenance,
    )


def _run(file: Tested, corrected: Corrected | None, levers: Mapping[str, Any] | None) -> Run:
    """A file reduced to what it did with each image; without levers nothing is made of it after training."""
    return Run(
        seed=file.seed,
        outcome=outcome(file.label, file.probabilities),
        posthoc=None if levers is None else posthoc(file.test, file.val, levers),
        given=outcome(corrected.given, file.probabilities) if corrected else None,
    )


def on_seeds(study: Study, seeds: Collection[int]) -> Study:
    """The study with the runs of these seeds alone; an arm that has none of them is left out, and that is said."""
    kept = [replace(arm, runs=tuple(run for run in arm.runs if run.seed in seeds)) for arm in study.arms]
    arms = tuple(arm for arm in kept if arm.runs)
    told = [line for line in study.problems if line not in unequal_seeds(_seeds(study.arms))]
    without = [
        f"arm {arm.name} has no finished run with these seeds and is left out" for arm in kept if not arm.runs
    ]
    return replace(study, arms=arms, problems=(*told, *without, *unequal_seeds(_seeds(arms))))


def check_names(source: str, what: str, names: Iterable[str]) -> None:
    """Raise SourceError for a name that would break a line or steer a terminal."""
    for name in filter(_CONTROL.search, names):
        raise SourceError(f"{source}: {what}'s name must be one line without control characters, got {name!r}")


def _sorted(file: Tested) -> Tested:
    """The file with its images in ascending order."""
    if (file.sample_id[:-1] < file.sample_id[1:]).all():
        return file
    order = np.argsort(file.sample_id)
    return replace(
        file,
        sample_id=file.sample_id[order],
        group_id=file.group_id[order],
        label=file.label[order],
        probabilities=file.probabilities[order],
        logits_hflip=None if file.logits_hflip is None else file.logits_hflip[order],
    )


def _aligned(file: Tested, reference: Tested) -> Tested:
    """The file with its classes in the reference's order; refused where it is another test set."""
    _check_classes(file, reference)
    _check_images(file, reference)
    if file.classes != reference.classes:
        place = np.asarray([file.classes.index(name) for name in reference.classes])
        file = replace(
            file,
            classes=reference.classes,
            label=np.argsort(place)[file.label],
            probabilities=file.probabilities[:, place],
            logits_hflip=None if file.logits_hflip is None else file.logits_hflip[:, place],
            val=None if file.val is None else file.val.columns(place),
        )
    _check_same(file.label, reference.label, "label", file, reference)
    _check_same(file.group_id, reference.group_id, "group_id", file, reference)
    return file


def _check_classes(file: Tested, reference: Tested) -> None:
    if set(file.classes) != set(reference.classes):
        raise SourceError(
            f"{file.source}: must have the classes of {reference.source} ({', '.join(reference.classes)}), "
            f"got {', '.join(file.classes)}"
        )


def _check_images(file: Tested, reference: Tested) -> None:
    if np.array_equal(file.sample_id, reference.sample_id):
        return
    missing = np.setdiff1d(reference.sample_id, file.sample_id)
    new = np.setdiff1d(file.sample_id, reference.sample_id)
    counts = [
        f"{len(names)} {what}, the first {str(names[0])!r}"
        for names, what in ((missing, "missing"), (new, "not in the other"))
        if len(names)
    ]
    raise SourceError(f"{file.source}: must have the same images as {reference.source}; {'; '.join(counts)}")


def _check_same(here: NDArray[Any], there: NDArray[Any], column: str, file: Tested, reference: Tested) -> None:
    different = np.flatnonzero(here != there)
    if len(different):
        first = different[0]
        got, want = (reference.classes[v[first]] if column == "label" else str(v[first]) for v in (here, there))
        raise SourceError(
            f"{file.source}: {column} must be that of {reference.source}; {len(different)} images differ, "
            f"the first is {str(file.sample_id[first])!r}: {got!r} here, {want!r} there"
        )


def _set_aside(aside: Sequence[SetAside], n_runs: int) -> list[str]:
    """One line a state, with a count and all names."""
    lines = []
    for state in dict.fromkeys(run.state for run in aside):
        of_state = [run.title for run in aside if run.state == state]
        verb = "is" if len(of_state) == 1 else "are"
        lines.append(f"{len(of_state)} of {n_runs} runs {verb} {state}: {', '.join(of_state)}")
    return lines


def _without_runs(runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    return [f"arm {name} has no finished run and is left out" for name, of_arm in runs.items() if not of_arm]


def unequal_seeds(seeds: Mapping[str, set[int]]) -> list[str]:
    """One line where the arms do not share one list of seeds."""
    union = set().union(*seeds.values())
    lacks = [
        f"{name} lacks {', '.join(map(str, sorted(union - of_arm)))}"
        for name, of_arm in seeds.items()
        if union - of_arm
    ]
    return [f"the arms' seeds differ: {'; '.join(lacks)}"] if lacks else []


def _seeds(arms: Sequence[Arm]) -> dict[str, set[int]]:
    return {arm.name: {run.seed for run in arm.runs} for arm in arms}


def _empty_classes(reference: Tested) -> list[str]:
    sizes = np.bincount(reference.label, minlength=len(reference.classes))
    empty = [name for name, size in zip(reference.classes, sizes, strict=True) if not size]
    if not empty:
        return []
    verb = "class has" if len(empty) == 1 else "classes have"
    return [f"{len(empty)} {verb} no test image and is left out of the means over classes: {', '.join(empty)}"]
