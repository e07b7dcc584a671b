"""A study put together from one prediction file a run: in one order, checked, and reduced as the files come."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.lookahead import ahead
from analysis.metrics import outcome
from analysis.posthoc import posthoc
from analysis.study import (
    Arm,
    Corrected,
    Correction,
    Ints,
    Question,
    Run,
    SetAside,
    SourceError,
    Study,
    Tested,
    aside_lines,
    check_names,
    unequal_seeds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What every file of a study is brought into."""

    reference: Tested
    """The first file, whose images and classes all others must have."""
    corrected: Corrected | None
    question: Question
    quick: bool

    @property
    def label(self) -> Ints:
        """True class of each image, [N]: one array serves all runs."""
        return self.corrected.label if self.corrected else self.reference.label


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

    Each file is reduced to its outcome as it comes, so memory holds a few files' probabilities at a time. What was
    set aside becomes a line of the problems. `quick` leaves out what is made after training; `labels` corrects
    those of the test images, all of which must agree in the files.

    Raises SourceError where files differ in images, labels, groups or classes, where there is none, or where a name
    cannot be printed in a line.
    """
    check_names(question.name, "an arm", question.arms)
    aside: list[SetAside] = []
    usable = _usable(files, aside)
    first = next(usable, None)
    if first is None:
        lines = aside_lines(aside, len(aside))
        raise SourceError(f"{question.name} must have at least one finished run: {'; '.join(lines)}")
    frame = _frame(first, question, labels, quick=quick)
    runs: dict[str, dict[int, Run]] = {name: {} for name in question.arms}
    for arm, run in ahead(partial(_reduced, frame=frame), itertools.chain([first], usable)):
        runs[arm][run.seed] = run
    return replace(
        _study(frame, runs),
        set_aside=tuple(aside),
        problems=(*problems, *_problems(frame, runs, aside)),
        provenance=provenance,
    )


def _usable(files: Iterable[Tested | SetAside], aside: list[SetAside]) -> Iterator[Tested]:
    """The files that can be used; what cannot is put into `aside`."""
    for file in files:
        if isinstance(file, SetAside):
            aside.append(file)
        else:
            yield file


def _frame(first: Tested, question: Question, labels: Correction | None, *, quick: bool) -> _Frame:
    check_names(first.source, "a class", first.classes)
    reference = _sorted(first)
    return _Frame(
        reference=reference, corrected=labels(reference) if labels else None, question=question, quick=quick
    )


def _reduced(file: Tested, frame: _Frame) -> tuple[str, Run]:
    """The arm, and its run reduced to what it did with each image. Raises SourceError."""
    aligned = replace(_aligned(_sorted(file), frame.reference), label=frame.label)
    given = frame.corrected.given if frame.corrected else None
    return file.arm, Run(
        seed=file.seed,
        outcome=outcome(aligned.label, aligned.probabilities),
        posthoc=None if frame.quick else posthoc(aligned.test, aligned.val, frame.question.arms[file.arm]),
        given=None if given is None else outcome(given, aligned.probabilities),
    )


def _study(frame: _Frame, runs: Mapping[str, Mapping[int, Run]]) -> Study:
    reference, levers = frame.reference, frame.question.arms
    return Study(
        question=frame.question,
        classes=reference.classes,
        sample_id=reference.sample_id,
        group_id=reference.group_id,
        label=frame.label,
        arms=tuple(
            Arm(name=name, levers=levers[name], runs=tuple(of_arm[seed] for seed in sorted(of_arm)))
            for name, of_arm in runs.items()
            if of_arm
        ),
        corrected=frame.corrected,
    )


def _problems(frame: _Frame, runs: Mapping[str, Mapping[int, Run]], aside: Sequence[SetAside]) -> Iterator[str]:
    """What is missing or was set right, one line each."""
    if frame.corrected:
        yield frame.corrected.said
    yield from aside_lines(aside, len(aside) + sum(map(len, runs.values())))
    yield from _without_runs(runs, aside)
    yield from unequal_seeds({name: set(of_arm) for name, of_arm in runs.items() if of_arm})
    yield from _empty_classes(replace(frame.reference, label=frame.label))


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


def _without_runs(runs: Mapping[str, Mapping[int, Run]], aside: Sequence[SetAside]) -> list[str]:
    states = {name: {run.state for run in aside if run.arm == name} for name, of_arm in runs.items() if not of_arm}
    return [
        f"arm {name} {'diverged with every seed' if states[name] == {'diverged'} else 'has no finished run'} "
        "and is left out"
        for name in states
    ]


def _empty_classes(reference: Tested) -> list[str]:
    sizes = np.bincount(reference.label, minlength=len(reference.classes))
    empty = [name for name, size in zip(reference.classes, sizes, strict=True) if not size]
    if not empty:
        return []
    verb = "class has" if len(empty) == 1 else "classes have"
    return [f"{len(empty)} {verb} no test image and is left out of the means over classes: {', '.join(empty)}"]
