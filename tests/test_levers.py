"""Levers that clash or would change nothing are refused in one line; each has its row in the docs."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from dermtune.config import ConfigError, Levers

PAGE = Path(__file__).parents[1] / "docs" / "levers.md"


@pytest.mark.parametrize(
    ("levers", "said"),
    [
        ({"effective_number": 0.99, "prior_weight": 0.5}, "both weight the classes, got 0.99 and 0.5"),
        ({"ldam": 0.5, "logit_adjustment": 1.0}, "both shift the logits by class frequency, got 0.5 and 1.0"),
        ({"ldam": 0.5, "focal_gamma": 2.0}, "`ldam` or `focal_gamma` must be 0"),
        ({"ldam": 0.5, "mixup": 0.2}, "a mixed image has no class of its own to have a margin"),
        ({"drw": 0.8}, "`drw` must go with `effective_number` or `prior_weight`, got 0.8 without"),
        ({"sampler_schedule": "progressive"}, "`sampler_schedule` must go with a `sampler_power`"),
        ({"tuned_blocks": 2}, "`tuned_blocks` must go with `tuning` = 'last_k', got 2 without"),
        ({"lora_rank": 4, "tuning": "head"}, "`lora_rank` must go with `tuning` = 'lora', got 4 without"),
        ({"effective_number": 1.0}, r"`effective_number` must lie in \[0, 1\), got 1.0"),
        ({"ema": -0.1}, r"`ema` must lie in \[0, 1\), got -0.1"),
        ({"mixup": -1.0}, "`mixup` must be >= 0, got -1.0"),
        ({"sampler_schedule": "cyclic"}, "must be one of 'constant', 'progressive', got 'cyclic'"),
        ({"tuning": "last"}, "must be one of 'full', 'head', 'lora', 'last_k', got 'last'"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_levers_that_make_no_sense_are_refused_with_what_came(levers, said):
    with pytest.raises(ConfigError, match=said):
        Levers(**levers)


def test_the_page_of_levers_has_a_row_for_each_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(field.name for field in fields(Levers))
