"""What a trial occupies, and into how many processes that is divided."""

from dataclasses import dataclass

from dermtune.config import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """What one trial occupies while it trains, all of its processes together."""

    cpus: float
    """Cores, at least one for each of several processes."""
    gpus: float | None
    """GPUs; None takes one for each process where there are any, else none."""
    processes: int
    """That train it together."""


def occupied(cpus: float, gpus: float | None, processes: int | None) -> Occupied:
    """What a trial occupies that asks for so much; without a number of processes it has one for each GPU.

    A process trains on one GPU, a part of one, or none: two on one GPU cannot exchange gradients by NCCL. Cores
    that cannot be dealt out evenly are left. Raises ConfigError where GPUs and processes do not fit together.
    """
    wanted = max(1, round(gpus or 0)) if processes is None else processes
    if gpus is not None and (gpus != wanted if gpus > 1 else wanted > 1 and gpus > 0):
        raise ConfigError(
            f"a trial must have at most one GPU, or as many as processes, got {gpus:g} GPUs for {wanted} "
            f"process{'es' * (wanted > 1)}: see --gpus-per-trial and --processes-per-trial"
        )
    if wanted > 1:
        cpus = wanted * max(1, cpus // wanted)
    return Occupied(cpus=cpus, gpus=gpus, processes=wanted)
