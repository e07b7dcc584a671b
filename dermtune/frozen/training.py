"""Head trials from images to predictions, as `dermtune.train` gives them, by way of kept features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from dermtune.cosine import compare_directions
from dermtune.data.dataset import Dataset
from dermtune.data.place import Place
from dermtune.device import device_name, reproducible
from dermtune.frozen.backbone import Head, only_linear, starting_model
from dermtune.frozen.bundles import Unfit, hindrance
from dermtune.frozen.features import FeatureCache, Spoken
from dermtune.frozen.loop import OnEpoch, TrainedHead, train_heads
from dermtune.ledger import Diverged
from dermtune.plan import Trial
from dermtune.serving import save_classifier
from dermtune.train import Outcome, predictions_of


def train_bundle(
    trials: Sequence[Trial],
    data: Dataset,
    place: Place,
    *,
    threads: int,
    on_epoch: OnEpoch,
    on_progress: Callable[[str], None],
    keep_at: Mapping[str, Path] | None = None,
) -> Iterator[tuple[Trial, Outcome | Diverged]]:
    """Yields each trial of a bundle (`dermtune.frozen.bundles`) with what it leaves behind, or how it diverged.

    All are trained before the first is yielded. By trial_id a trained model is kept at `keep_at`, just before its
    trial is yielded: a whole model may be large, and the caller seals one trial before the next one's is written.
    A bundle that is cut off starts again from nothing but its features: it takes seconds. `on_progress` is told, in
    a clause, what takes longer.

    Raises Unfit where the trials must go the ordinary way, ModelError, UserError.
    """
    for trial in trials:
        if (why := hindrance(trial.config)) is not None:
            raise Unfit(why)
    cache = FeatureCache(trials[0], data, place, threads)
    features = cache.features(Spoken(on_progress))
    heads = {trial.seed: cache.starting_head(trial.seed) for trial in trials}
    labels = {name: getattr(data, name).label for name in ("train", "val", "test")}
    with reproducible(trials[0].seed, threads):
        trained = train_heads(trials, heads, features, labels, on_epoch)
    for trial in trials:
        head = trained[trial.trial_id]
        if keep_at and isinstance(head, TrainedHead):
            _keep(trial, data, head.head, threads, keep_at[trial.trial_id])
        yield trial, _outcome(trial, data, head, cache.key)


def _outcome(trial: Trial, data: Dataset, trained: TrainedHead | Diverged, key: str) -> Outcome | Diverged:
    if isinstance(trained, Diverged):
        return trained
    return Outcome(
        val=predictions_of(trial, data, "val", trained.val, trained.val_hflip),
        test=predictions_of(trial, data, "test", trained.test, trained.test_hflip),
        history=trained.history,
        device=device_name(),
        frozen_features=key,
    )


def _keep(trial: Trial, data: Dataset, head: Head, threads: int, folder: Path) -> None:
    """Write the whole model with the trained head."""
    with reproducible(trial.seed, threads):
        model = starting_model(trial.config, data.classes)
    if trial.config.levers.ldam:
        compare_directions(model)
    layer = only_linear(model)
    with torch.no_grad():
        cast(Any, layer).weight.copy_(head.weight)
        cast(Any, layer).bias.copy_(head.bias)
    save_classifier(model, trial.config, data.classes, folder)
