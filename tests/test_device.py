"""The same bits again: asked for strictly, and where an operation cannot give them no trial is lost."""

import pytest
import torch

from dermtune.device import reproducible, strictly_or_else
from dermtune.execution import execute
from dermtune.ledger import TrialFolder
from dermtune.pixels import PixelPipeline
from tests.undetermined import undetermined


@pytest.fixture
def seen(monkeypatch):
    """Of each pass of training, whether it is strictly reproducible."""
    found: list[bool] = []
    mirror = PixelPipeline.mirror

    def noting(self, pixels, ways):
        found.append(not torch.is_deterministic_algorithms_warn_only_enabled())
        return mirror(self, pixels, ways)

    monkeypatch.setattr(PixelPipeline, "mirror", noting)
    return found


@pytest.fixture
def executed(make_trial, drawn, tmp_path):
    """Runs a trial of one epoch: its folder, and what was noticed."""

    def run() -> tuple[TrialFolder, list[str]]:
        folder, noticed = TrialFolder(tmp_path / "trial"), []
        trial = make_trial(epochs=1)
        how = {"threads": 1, "gpus": 0.0, "on_epoch": lambda row: None, "on_notice": noticed.append}
        execute(trial, drawn.place, folder, **how)
        return folder, noticed

    return run


def test_a_trial_trains_strictly_for_so_alone_is_the_backward_pass_of_attention_on_a_gpu_the_same(
    fit, make_trial, seen
):
    before = torch.get_deterministic_debug_mode()
    assert fit(make_trial(epochs=1)).deterministic
    assert seen
    assert all(seen)
    assert torch.get_deterministic_debug_mode() == before


def test_what_trains_strictly_says_nothing_of_it_in_its_manifest(executed):
    folder, noticed = executed()
    assert "deterministic" not in folder.manifest()
    assert noticed == []


@pytest.mark.filterwarnings("ignore:put_ does not have a deterministic implementation")
def test_an_operation_without_a_deterministic_kernel_fails_no_trial_it_is_told_and_stands_in_the_manifest(
    executed, seen
):
    with undetermined():
        folder, noticed = executed()
    assert noticed == ["would not give the same bits again: put_ does not have a deterministic implementation"]
    assert folder.manifest()["deterministic"] is False
    assert seen[0]
    assert not any(seen[1:])


def test_any_other_error_is_raised_as_it_is_and_nothing_is_tried_again():
    tried = []

    def run(strict):
        tried.append(strict)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        strictly_or_else(run, print)
    assert tried == [True]


def test_who_does_not_ask_strictly_is_served_all_the_same():
    with pytest.warns(UserWarning, match="put_ does not have a deterministic"), reproducible(0, 1):
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
    with pytest.raises(RuntimeError, match="put_ does not have a deterministic"), reproducible(0, 1, strict=True):
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
