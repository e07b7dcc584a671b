"""The running mean of weights against its formula, and what stands in for what."""

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

from dermtune.ema import FILE, WeightAverage


def drifting(model: nn.Module, steps: int):
    """The model's weights after each step of a random walk."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else 1)
        yield {name: tensor.clone() for name, tensor in model.state_dict().items()}


def small() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)).to(
        memory_format=torch.channels_last
    )


def test_the_mean_is_the_weighted_sum_of_all_weights_with_the_warmed_up_decay():
    model = small()
    average = WeightAverage(model, 0.6)
    expected: dict[str, torch.Tensor] = {}
    for n, weights in enumerate(drifting(model, 20)):
        average.update(model)
        d = min(0.6, (1 + n) / (10 + n)) if n else 0.0
        expected = {
            k: d * expected.get(k, 0.0) + (1 - d) * v if v.is_floating_point() else v for k, v in weights.items()
        }
    own = {name: value.clone() for name, value in model.state_dict().items()}
    with average.standing_in(model):
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, expected[name])
    for name, value in model.state_dict().items():
        assert value.equal(own[name])


def test_a_mean_that_was_saved_and_loaded_goes_on_as_one_that_was_not(tmp_path):
    model = small()
    average, other = WeightAverage(model, 0.9), WeightAverage(small(), 0.9)
    for n, _ in enumerate(drifting(model, 12)):
        average.update(model)
        if n == 5:
            average.save(tmp_path)
            other.load(tmp_path)
        elif n > 5:
            other.update(model)
    with average.standing_in(model):
        seen = {name: value.clone() for name, value in model.state_dict().items()}
    with other.standing_in(model):
        assert all(value.equal(seen[name]) for name, value in model.state_dict().items())


def test_the_mean_has_the_bits_and_the_file_that_torchs_averaged_model_gives_tensor_by_tensor(tmp_path):
    def mean(averaged, weights, n):
        if not weights.is_floating_point():
            return weights
        return averaged.lerp(weights, 1 - min(0.9, (1 + int(n)) / (10 + int(n))))

    model = nn.Sequential(small(), nn.Linear(129, 67), nn.LayerNorm(67), nn.Embedding(31, 5))
    average, torchs = WeightAverage(model, 0.9), AveragedModel(model, avg_fn=mean, use_buffers=True)
    for _ in drifting(model, 40):
        average.update(model)
        torchs.update_parameters(model)
    average.save(tmp_path)
    saved, expected = load_file(tmp_path / FILE), torchs.state_dict()
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], expected[name]) for name in expected)


def test_an_update_blends_all_tensors_at_once_and_reads_none_of_them_back():
    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    called: list[str] = []
    model = small()
    average = WeightAverage(model, 0.9)
    average.update(model)
    with Noting():
        average.update(model)
    assert called == ["copy_", "_foreach_lerp_"]  # the count of batches, and all that is blended
