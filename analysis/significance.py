"""The door: `python -m analysis.significance PATH` judges every arm against the baseline."""

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from analysis.commandline import Parser, file_path, refuse
from analysis.comparison import compare
from analysis.interim import no_look_yet
from analysis.metrics import MetricError
from analysis.noise import RUN_SD
from analysis.recipefile import recipe_source
from analysis.records import Estimand, Report, Verdict
from analysis.report import (
    figures_of,
    print_report,
    print_summary,
    render_html,
    render_json,
    render_markdown,
    sections_of,
    with_command,
)
from analysis.sources import load
from analysis.study import SourceError
from analysis.tiers import Stated
from analysis.wholefile import write_text

PROG = "dermtune-significance"

DESCRIPTION = """\
Judge every arm of a study against its baseline: keep, reject or inconclusive,
each with its reason and, where it is undecided, the seeds that would decide it.

PATH is a sweep's folder (runs/focal_ls-laptop), or a CSV with the columns
arm, seed, path that names prediction files made elsewhere; their format is
in docs/predictions-format.md. Where only scores are left, a CSV with arm, seed
and a column a metric is judged as far as it goes.
"""

EPILOG = r"""
verdicts, from the interval that holds for all arms at once:
  keep           it lies above 0; `practical` if all of it exceeds the margin,
                 `at a cost` if a guard metric may fall by more than the margin,
                 or if some of its runs diverged
  reject         a gain as large as the margin is ruled out; `worse` if all of
                 it lies below 0, `equivalent` if it is within the margin
  inconclusive   neither: the reason says what would decide it

estimands, what the interval speaks for:
  both           new seeds and new test images (default)
  seeds          new seeds, on this very test set
  images         these very checkpoints, on new test images

examples:
  python -m analysis.significance runs/focal_ls-laptop
  python -m analysis.significance runs/focal_ls-laptop --metric recall:eczema
  python -m analysis.significance old_runs.csv --baseline v1 --run-sd 0.006
  python -m analysis.significance scores.csv
  python -m analysis.significance runs/focal_ls-laptop \
      --require focal_gamma=2:keep

exit codes: 0 judged, 1 a --require does not hold, 2 bad input.
"""


_OUTPUTS = ("path", "summary", "json", "html", "markdown", "write_recipe", "require")
"""Of the command's words: where it reads, and what becomes of the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """An arm and the verdict that it must have."""

    arm: str
    verdict: Verdict


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = _parser().parse_args(argv)
    try:
        report = compare(
            load(asked.path, quick=asked.quick, labels=asked.labels),
            metric=asked.metric,
            margin=asked.margin,
            estimand=asked.estimand,
            baseline=asked.baseline,
            n_resamples=asked.resamples,
            seed=asked.seed,
            run_sd=asked.run_sd,
            stated=Stated(answer=asked.answer_risk, top3=asked.top3_risk),
            quick=asked.quick,
        )
        unmet = _unmet(report, asked.require)
        report = with_command(report, *_words(asked))
        _write(report, asked)
    except (SourceError, MetricError) as error:
        return refuse(PROG, str(error))
    except OSError as error:
        return refuse(PROG, f"{error.filename} must be a file that can be written, got: {error.strerror}")
    (print_summary if asked.summary else print_report)(report, Console())
    for line in unmet:
        Console(stderr=True).print(line, soft_wrap=True, markup=False, highlight=False)
    return 1 if unmet else 0


def _words(asked: argparse.Namespace) -> list[str]:
    """The command's words that decide what the report says; files by name alone, wherever they lie."""
    words, parser = [asked.path.resolve().name], _parser()
    for name, value in vars(asked).items():
        if name not in _OUTPUTS and value != parser.get_default(name):
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [value.name if isinstance(value, Path) else str(value)]
    return words


def _unmet(report: Report, required: Sequence[Requirement]) -> list[str]:
    """One line a requirement that does not hold. Raises SourceError for an arm that is not compared."""
    if report.look and not report.look.judges:
        return [f"--require {r.arm}:{r.verdict} does not hold: {no_look_yet(report.look)}" for r in required]
    verdicts = {comparison.arm: comparison.verdict for comparison in report.comparisons}
    for requirement in required:
        if requirement.arm not in verdicts:
            known = ", ".join(verdicts) or "compared, of which there is none"
            raise SourceError(f"--require must name one of the arms {known}, got {requirement.arm!r}")
    return [
        f"--require {r.arm}:{r.verdict} does not hold: the verdict is {verdicts[r.arm]}"
        for r in required
        if verdicts[r.arm] != r.verdict
    ]


def _write(report: Report, asked: argparse.Namespace) -> None:
    sections = sections_of(report) if asked.html or asked.markdown else ()
    if asked.json:
        write_text(asked.json, render_json(report))
    if asked.html:
        write_text(asked.html, render_html(report, figures_of(report), sections))
    if asked.write_recipe:
        write_text(asked.write_recipe, recipe_source(report, asked.path))
    if asked.markdown:
        write_text(asked.markdown, render_markdown(report, sections))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add(
        "path",
        type=Path,
        metavar="PATH",
        help="a sweep's folder, a CSV index of prediction files, or a CSV of scores",
    )
    add("--baseline", metavar="ARM", help="default: the sweep's; of an index the arm `baseline`, or the first")
    add(
        "--metric", metavar="NAME",
        help="balanced_accuracy, top1, top3, macro_f1, recall:<class>, over_prediction:<class>, ece or nll; "
        "default: the sweep's, or balanced_accuracy",
    )  # fmt: skip
    add(
        "--margin",
        type=float,
        metavar="F",
        help="smallest difference that matters, a fraction; default: the sweep's, or 0.006",
    )
    add("--estimand", choices=get_args(Estimand), default="both", help="what the intervals speak for")
    add("--resamples", type=int, default=10_000, metavar="N", help="replicates of the bootstrap; default 10000")
    add("--seed", type=int, default=0, metavar="N", help="seed of its draws; default 0")
    add(
        "--run-sd", type=float, default=RUN_SD, metavar="F",
        help="run-to-run standard deviation to assume of an arm with one run; default 0.006",
    )  # fmt: skip
    add(
        "--labels", type=Path, metavar="FILE",
        help="corrected labels of test images, CSV or Parquet: sample_id and label, or prob_<class> a class; "
        "all is scored again by them",
    )  # fmt: skip
    add(
        "--answer-risk", type=float, default=Stated().answer, metavar="F",
        help="error rate that what is answered may have where the rest is left to a person; default 0.1",
    )  # fmt: skip
    add(
        "--top3-risk", type=float, default=Stated().top3, metavar="F",
        help="share of the images with three classes shown whose own may be missing; default 0.1",
    )  # fmt: skip
    _add_outputs(parser)
    return parser


def _add_outputs(parser: Parser) -> None:
    """What becomes of the report, and how much of it is made."""
    add = parser.add_argument
    add("--quick", action="store_true", help="judge the arms alone: nothing is made of their predictions besides")
    add("--summary", action="store_true", help="print one small table and the classes that move, instead of it all")
    add(
        "--json", type=file_path, metavar="F", help="write the report for programs; same input and seed, same bytes"
    )
    add("--html", type=file_path, metavar="F", help="write it as one self-contained page")
    add("--markdown", type=file_path, metavar="F", help="write it as Markdown, for a pull request")
    add(
        "--write-recipe", type=file_path, metavar="FILE",
        help="write the arm to ship as a recipe for `dermtune.sweep --recipe`, its whole configuration spelt out",
    )  # fmt: skip
    add(
        "--require", type=_requirement, action="append", default=[], metavar="ARM:VERDICT",
        help="exit 1 unless the arm has this verdict, for use in CI; may be given again",
    )  # fmt: skip


def _requirement(text: str) -> Requirement:
    arm, _, verdict = text.rpartition(":")
    for known in get_args(Verdict):
        if arm and verdict == known:
            return Requirement(arm=arm, verdict=known)
    raise argparse.ArgumentTypeError(f"must be ARM:VERDICT, the verdict one of {_verdicts()}, got {text!r}")


def _verdicts() -> str:
    return ", ".join(get_args(Verdict))


if __name__ == "__main__":
    gc.freeze()  # what the imports made stays to the end: to look through it again takes a third of a second
    sys.exit(main())
