"""Which points a search stops early, and at which rungs."""

from types import SimpleNamespace

from dermtune.tuner.pruning import Pruning
from tests.searches import EPOCHS, searched
from tests.searching import Searching


class Told:
    """Rungs of ASHA as Ray's scheduler asks for them."""

    def __init__(self, search, **earlier):
        self.search = search
        self.pruning = Pruning(search.points, search.folder, earlier.get("earlier", ()))

    def add(self, trial):
        config = {"trial_ids": [trial.trial_id], "arm": trial.arm, "epochs": 9}
        tune_trial = SimpleNamespace(trial_id=trial.arm, config=config)
        self.pruning.on_trial_add(None, tune_trial)
        return tune_trial

    def tell(self, tune_trial, epoch, score):
        place = f"rows/{tune_trial.config['trial_ids'][0]}"
        row = {f"{place}/epoch": float(epoch), f"{place}/val_balanced_accuracy": score}
        return self.pruning.on_trial_result(None, tune_trial, row)


def points_at(search, n):
    return [search.points.trial(number, {"focal_gamma": number / 10}) for number in range(n)]


def test_a_point_behind_at_a_rung_is_pruned_but_never_the_baseline(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=1, reduction=3)))
    baseline, *others = [told.add(trial) for trial in points_at(told.search, 5)]
    assert [told.tell(trial, 1, score) for trial, score in zip(others, (0.5, 0.6, 0.7, 0.1), strict=True)] == [
        *["CONTINUE"] * 3,
        "STOP",
    ]
    assert told.tell(baseline, 1, 0.0) == "CONTINUE"
    assert told.pruning.pruned == {"point-4"}


def test_nothing_is_pruned_in_its_last_epoch_or_between_rungs(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=3, reduction=3)))
    _, good, bad = [told.add(trial) for trial in points_at(told.search, 3)]
    for epoch in range(1, 10):
        assert told.tell(good, epoch, 0.9) == "CONTINUE"
    assert [told.tell(bad, epoch, 0.1) for epoch in (1, 2, 3)] == ["CONTINUE", "CONTINUE", "STOP"]
    late = told.add(points_at(told.search, 4)[3])
    assert told.tell(late, 9, 0.1) == "CONTINUE"


def test_what_earlier_starts_have_seen_counts_at_the_rungs(tmp_path):
    search = Searching(tmp_path, searched(epochs=EPOCHS, grace_epochs=2, reduction=2))
    earlier = points_at(search, 4)
    for trial in earlier:
        search.finish(trial)
    told = Told(search, earlier=earlier)
    fresh = told.add(search.points.trial(7, {"focal_gamma": 4.9}))
    assert told.tell(fresh, 2, 0.01) == "STOP", "alone in this start, and behind those before it"


def test_a_trial_that_was_given_back_is_taken_in_again_as_one_without_epochs(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=1, reduction=3)))
    point = told.add(points_at(told.search, 2)[1])
    point.config["trial_ids"] = []
    told.pruning.on_trial_add(None, point)  # as Tune does where its node has gone
    assert told.pruning.on_trial_result(None, point, {"event": "handed back"}) == "CONTINUE"


def test_a_trial_that_goes_on_is_not_judged_again_at_a_rung_it_has_passed(tmp_path):
    search = Searching(tmp_path, searched(epochs=9, grace_epochs=2, reduction=3))
    baseline, one, other = points_at(search, 3)
    for trial, score in ((one, 0.9), (other, 0.1)):
        folder = search.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([{"epoch": n, "val_balanced_accuracy": score} for n in (1, 2)])
    told = Told(search, earlier=[one])
    assert told.tell(told.add(other), 3, 0.1) == "CONTINUE"
    assert told.pruning.pruned == set()
    assert baseline.arm == "baseline"
