"""Plans of any size, of trials that nobody trains."""

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.plan import Plan, Sweep, plan

EPOCHS = 2
"""Of a trial, where nothing else is said."""


def planned(*, n_arms: int = 2, n_seeds: int = 2, epochs: int = EPOCHS) -> Plan:
    """The plan of a sweep over the focal loss, of `n_arms` x `n_seeds` trials."""
    gammas = tuple(map(float, range(n_arms)))
    config = Config(
        data=DataConfig(), model=ModelConfig(architecture="siglip"), training=TrainingConfig(epochs=epochs)
    )
    sweep = Sweep(name="focal", grid={"focal_gamma": gammas}, baseline={"focal_gamma": 0.0}, seeds=range(n_seeds))
    return plan(sweep, config, recipe="laptop", fingerprints={"data": "abc"})
