"""The door: `python -m analysis.power` says what a design can see, and how many seeds a delta takes."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis.commandline import Parser, file_path, refuse, whole_number
from analysis.earlier import measured
from analysis.metrics import MetricError
from analysis.outlook import Outlook, outlook
from analysis.planning import ASSUMED, MOST_SEEDS, Layout, PlanningError, SeedsNeeded, Variation
from analysis.sources import load_study
from analysis.study import SourceError
from analysis.wholefile import write_text
from analysis.words import Unit, correlation, count, unit_of

PROG = "dermtune-power"

FORMAT = 1

DESCRIPTION = """\
Plan a study: how small a true delta so many arms and seeds can see, and how
many seeds it takes to see the one that matters.

It plans from variances, assumed or measured by an earlier study, and never
from a delta that was observed: the power of that only says its p-value again.
"""

EPILOG = r"""
what is planned for is what is judged:
  one baseline, and every other arm against it, with the same seeds
  run-to-run noise is pooled over arms: more of them measure it better
  all arms at once, at Dunnett's critical value, so that in 95% of studies
  in which no arm differs none is found to

examples:
  python -m analysis.power --arms 8 --seeds 5
      the smallest delta that eight arms with five seeds each can see
  python -m analysis.power --delta 0.011 --run-sd 0.008
      the seeds that one change takes where runs vary by 0.8 points
  python -m analysis.power --levels 3x3x2
      a full grid: its main effects and interactions too
  python -m analysis.power --from runs/focal_ls-laptop --arms 4
      with the noise that an earlier study measured

exit codes: 0 planned, 2 bad input.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What is planned from where no option says otherwise."""

    n_arms: int = 2
    delta: float = 0.006
    metric: str = "balanced_accuracy"
    variation: Variation = ASSUMED
    problems: tuple[str, ...] = ()
    """What is missing in the earlier study, one line each."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    parser = _parser()
    asked = parser.parse_args(argv)
    if asked.metric and not asked.earlier:
        parser.error("--metric needs --from: without an earlier study nothing is known of it")
    try:
        basis = _basis(asked.earlier, asked.metric)
        found = _outlook(asked, basis)
    except (PlanningError, SourceError, MetricError, OSError) as error:
        return refuse(PROG, str(error))
    try:
        if asked.json:
            _write(asked.json, found)
    except OSError as error:
        return refuse(PROG, f"{asked.json} must be a file that can be written, got: {error.strerror}")
    print_outlook(found, unit_of(basis.metric), basis.problems, Console())
    return 0


def print_outlook(outlook: Outlook, unit: Unit, problems: Sequence[str], console: Console) -> None:
    """Print the answer in a sentence, from which size on each kind of effect is seen, and what that rests on.

    `problems` are the earlier study's: what is missing in it.
    """
    console.print(Padding(Text(_answer(outlook, unit)), (1, 0)))
    console.print(_table(outlook, unit))
    console.print(Padding(_variation(outlook.layout, unit), (1, 0)))
    for problem in problems:
        console.print(Padding(Text.assemble(("! ", "bold yellow"), problem), (0, 0, 1, 0)))
    console.print(Text("Planned from variances; the power of an observed delta would say nothing new.\n", "dim"))


def _basis(earlier: Path | None, metric: str | None) -> Basis:
    """The earlier study's, or the defaults."""
    if earlier is None:
        return Basis()
    study = load_study(earlier, quick=True)
    question = study.question
    return Basis(
        n_arms=max(2, len(question.arms)),
        delta=question.margin,
        metric=metric or question.primary_metric,
        variation=measured(study, metric=metric),
        problems=study.problems,
    )


def _outlook(asked: argparse.Namespace, basis: Basis) -> Outlook:
    n_arms = math.prod(asked.levels) if asked.levels else asked.arms
    return outlook(
        Layout(
            n_arms=basis.n_arms if n_arms is None else n_arms,
            variation=_varied(basis.variation, asked),
            paired=not asked.unpaired,
        ),
        delta=basis.delta if asked.delta is None else asked.delta,
        power=asked.power,
        n_seeds=asked.seeds,
        levels=asked.levels or (),
    )


def _varied(variation: Variation, asked: argparse.Namespace) -> Variation:
    """The variation with what was given in place of what was assumed or measured."""
    if asked.run_sd is not None:
        variation = replace(variation, run_sd=asked.run_sd, run_sd_from="given")
    if asked.seed_correlation is not None:
        variation = replace(variation, seed_correlation=asked.seed_correlation, seed_correlation_from="given")
    if asked.image_sd is not None:
        variation = replace(variation, image_sd=asked.image_sd, image_sd_from="given")
    return variation


def _answer(outlook: Outlook, unit: Unit) -> str:
    """What was asked, in a sentence or two."""
    sentences = [*_seen(outlook, unit), _takes(outlook, unit)]
    if outlook.layout.n_arms > 2:
        sentences[0] = f"with all {outlook.layout.n_arms - 1} arms judged at once, {sentences[0]}"
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _seen(outlook: Outlook, unit: Unit) -> list[str]:
    """What the seeds find that were asked about."""
    if outlook.n_seeds is None:
        return []
    seen = outlook.sights[0].smallest[outlook.n_seeds]
    if seen is None:
        return ["one seed an arm measures no noise and finds nothing."]
    return [
        f"{count(outlook.n_seeds, 'seed')} an arm find a true delta of {unit.size(seen)} {_surely(outlook)}, "
        f"and one of {unit.size(outlook.delta)} with {outlook.found:.0%}."
    ]


def _takes(outlook: Outlook, unit: Unit) -> str:
    """What it takes to find the wanted delta."""
    needed = outlook.sights[0].needed
    runs = f", {count(needed.n_seeds * outlook.layout.n_arms, 'run')}," if needed.n_seeds else ""
    return f"it takes {needed.said}{runs} to find a true delta of {unit.size(outlook.delta)} {_surely(outlook)}."


def _surely(outlook: Outlook) -> str:
    return f"with a probability of {100 * outlook.power:g}%"


def _table(outlook: Outlook, unit: Unit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"smallest found{unit.symbol and ','}{unit.symbol}", no_wrap=True)
    columns = list(outlook.sights[0].smallest)
    for n in columns:
        title = count(n, "seed") if n == columns[0] else str(n)
        table.add_column(title, justify="right", no_wrap=True, style="bold" if n == outlook.n_seeds else None)
    table.add_column(f"seeds for\n{unit.size(outlook.delta)}", justify="right", no_wrap=True)
    for sight in outlook.sights:
        sizes = ["–" if size is None else unit.score(size) for size in sight.smallest.values()]
        table.add_row(sight.what, *sizes, _needed(sight.needed))
    table.add_row("runs in all", *(f"{n * outlook.layout.n_arms:,}" for n in columns), style="dim")
    return table


def _needed(needed: SeedsNeeded) -> str:
    """The number of seeds; where none is enough, more than the most that were tried, or no number at all."""
    if needed.images_forbid:
        return "none"
    return str(needed.n_seeds) if needed.n_seeds else f">{MOST_SEEDS}"


def _variation(layout: Layout, unit: Unit) -> Table:
    """What the plan rests on, a row a figure with where it comes from."""
    of = layout.variation
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim")
    grid.add_row("run-to-run sd", unit.size(of.run_sd), of.run_sd_from)
    if layout.paired:
        grid.add_row("seed correlation", correlation(of.seed_correlation), of.seed_correlation_from)
    grid.add_row("sd from images", unit.size(of.image_sd), of.image_sd_from)
    return grid


def _write(file: Path, outlook: Outlook) -> None:
    write_text(file, json.dumps({"format": FORMAT, **asdict(outlook)}, indent=2, allow_nan=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    arms = parser.add_mutually_exclusive_group()
    arms.add_argument(
        "--arms",
        type=whole_number,
        metavar="A",
        help="arms, the baseline included; default 2, or the earlier study's",
    )
    arms.add_argument(
        "--levels", type=_levels, metavar="LxL", help="the arms are all cells of a grid with so many levels: 3x3x2"
    )
    add("--seeds", type=whole_number, metavar="R", help="seeds an arm to look at, beside 3, 5, 10, 15 and 20")
    add(
        "--delta", type=float, metavar="F",
        help="true delta that should be found, a fraction; default 0.006, or the earlier study's margin",
    )  # fmt: skip
    add("--power", type=float, default=0.8, metavar="F", help="probability of finding it; default 0.8")
    add("--run-sd", type=float, metavar="F", help="run-to-run standard deviation of an arm; default 0.006")
    add(
        "--seed-correlation", type=float, metavar="F",
        help="correlation of two arms' scores over their shared seeds; default 0",
    )  # fmt: skip
    add(
        "--image-sd", type=float, metavar="F",
        help="standard deviation of a delta from the test images alone; default 0: they are not counted",
    )  # fmt: skip
    add("--unpaired", action="store_true", help="each arm has seeds of its own")
    add(
        "--from", dest="earlier", type=Path, metavar="PATH",
        help="an earlier study, a sweep's folder or a CSV index: its noise, in place of the defaults",
    )  # fmt: skip
    add("--metric", metavar="NAME", help="metric that is planned for; default: the earlier study's")
    add("--json", type=file_path, metavar="F", help="write the plan for programs")
    return parser


def _levels(text: str) -> tuple[int, ...]:
    levels = text.split("x")
    if not all(level.isdecimal() and int(level) > 1 for level in levels):
        raise argparse.ArgumentTypeError(f"must be levels of 2 or more, joined by x, such as 3x3x2, got {text!r}")
    return tuple(map(int, levels))


if __name__ == "__main__":
    sys.exit(main())
