"""What changes from epoch to epoch: the shares of a progressive sampler, the weights that come late."""

import numpy as np
import pytest
import torch

from dermtune.curriculum import Curriculum
from dermtune.levers import Levers

COUNTS = np.array([900, 240, 60])


def curriculum(epochs: int = 5, **levers) -> Curriculum:
    return Curriculum(levers=Levers(**levers), class_counts=COUNTS, epochs=epochs)


def test_a_progressive_sampler_goes_from_natural_to_balanced_in_even_steps_and_adjustment_follows_it():
    balancing = curriculum(sampler_power=1.0, sampler_schedule="progressive", logit_adjustment=1.0)
    assert [balancing.progress(epoch) for epoch in range(5)] == [*np.linspace(0, 1, 5)]
    for epoch, progress in enumerate(np.linspace(0, 1, 5)):
        shares = (1 - progress) * COUNTS / 1200 + progress / 3
        np.testing.assert_allclose(balancing.loss(epoch).log_adjustment, np.log(shares), rtol=1e-5)


def test_deferred_weights_begin_after_their_share_of_the_epochs():
    deferred = curriculum(ldam=0.5, effective_number=0.999, drw=0.6)
    assert [deferred.loss(epoch).weights is not None for epoch in range(5)] == [False, False, False, True, True]
    assert all(deferred.loss(epoch).margins is not None for epoch in range(5))
    assert curriculum(effective_number=0.999).loss(0).weights is not None


@pytest.mark.parametrize("weighting", [{"effective_number": 0.999}, {"prior_weight": 1.0}])
def test_a_sampler_that_evens_the_classes_out_leaves_nothing_to_weight(weighting):
    assert curriculum(**weighting).last_loss.weights.max() > 1.5
    torch.testing.assert_close(curriculum(sampler_power=1.0, **weighting).last_loss.weights, torch.ones(3))


def test_margins_go_by_the_images_that_there_are_whatever_the_sampler_shows():
    shown = curriculum(sampler_power=1.0, ldam=0.5).last_loss.margins
    torch.testing.assert_close(shown, curriculum(ldam=0.5).last_loss.margins)
    np.testing.assert_allclose(shown, 30 * 0.5 * (60 / COUNTS) ** 0.25, rtol=1e-6)
