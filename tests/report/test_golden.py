"""A whole report on drawn runs, as a person read it and found it right: what changes in it is seen in the diff.

Made anew by `python -m tests.report.test_golden`, to be read again before it is committed.
"""

from dataclasses import replace
from pathlib import Path

from analysis.comparison import compare
from analysis.report import render_markdown
from tests.analysis.grids import GAMMA, SMOOTHING, TWO_BY_TWO, crossed

GOLDEN = Path(__file__).parents[1] / "reference" / "report.md"


def _chance(levers):
    """Focal loss gains 12 points, smoothing nothing, and together they lose 25."""
    both = bool(levers[GAMMA]) and bool(levers[SMOOTHING])
    return 0.5 + 0.12 * bool(levers[GAMMA]) - 0.25 * both


def rendered():
    study = crossed(TWO_BY_TWO, chance=_chance, n_seeds=6, sizes=(900, 300, 60), seed_sd=0.01, shared=0.02)
    asked = replace(
        study.question, name="golden", sentence="Does focal loss gain, and does smoothing compose with it?"
    )
    return render_markdown(compare(replace(study, question=asked), n_resamples=4000))


def test_the_report_is_the_one_that_was_read():
    assert rendered() == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.write_text(rendered(), encoding="utf-8")
