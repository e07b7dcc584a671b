"""Mixup against its definition: whose pixels, which share, and the same draws in every arm."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from dermtune.mixup import Mixup


def test_an_image_keeps_its_share_and_takes_the_rest_of_its_partner():
    pairing = Mixup(alpha=1.0, seed=3).pairing(6, step=7)
    pixels, labels = torch.randn(6, 3, 4, 4), torch.arange(6)
    mixed, classes = pairing.images(pixels), pairing.labels(labels)
    for i, partner in enumerate(pairing.partners):
        torch.testing.assert_close(mixed[i], pairing.share * pixels[i] + (1 - pairing.share) * pixels[partner])
    assert classes.own.equal(labels)
    assert classes.partners.equal(pairing.partners)
    assert classes.share == pairing.share
    assert sorted(pairing.partners.tolist()) == list(range(6))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_follow_the_beta_distribution(alpha):
    shares = [Mixup(alpha=alpha, seed=0).pairing(2, step).share for step in range(2000)]
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-3


def test_the_pairing_is_a_function_of_seed_and_step_and_partners_do_not_depend_on_alpha():
    first = Mixup(alpha=0.2, seed=1).pairing(64, step=5)
    assert first.share == Mixup(alpha=0.2, seed=1).pairing(64, step=5).share
    assert first.partners.equal(Mixup(alpha=1.0, seed=1).pairing(64, step=5).partners)
    for other in (Mixup(alpha=0.2, seed=2).pairing(64, step=5), Mixup(alpha=0.2, seed=1).pairing(64, step=6)):
        assert not np.array_equal(first.partners, other.partners)
        assert first.share != other.share
