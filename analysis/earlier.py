"""What an earlier study measured of chance, for the planning of the next one."""

from dataclasses import replace

from analysis.comparison import compare
from analysis.measured import variation_of
from analysis.planning import Variation
from analysis.study import Study


def measured(study: Study, *, metric: str | None = None) -> Variation:
    """The variation of the study's scores and deltas on a metric, its own unless another is named.

    It is of all runs, whatever looks were declared, and tells of no delta. What too few runs leave open is as
    assumed. Raises MetricError and SourceError as `compare` does.
    """
    question = replace(study.question, guard_metrics=(), looks=(), looks_taken=())
    return variation_of(compare(replace(study, question=question), metric=metric, n_resamples=100, quick=True))
