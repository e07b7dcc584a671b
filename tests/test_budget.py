"""A hard budget: whole trials only, and none that cannot be paid to its end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtune.budget import Books, Budget, Cost, Limits, TrialHours
from dermtune.ledger import Diverged, LedgerError, SweepFolder
from dermtune.ledger.meter import Attempt, write_attempts
from tests.plans import planned

whole_hours = st.integers(1, 50)
limits = st.integers(0, 500)
histories = st.lists(st.booleans(), max_size=60)
"""True: a slot is free and asks for a trial. False: a trial that is under way ends."""

TRIALS = planned(n_arms=5, n_seeds=20).trials


class Paid(Books):
    """Books of trials that nobody trains, in hours of a dollar each."""

    def __init__(self, hours=None):
        self.hours = dict(hours or {})

    def share_left(self, trial):
        return 1.0

    def read(self, trial_id):
        return self.cost(trial_id)

    def cost(self, trial_id):
        return Cost(hours=self.hours.get(trial_id, 0.0))

    def total(self):
        return Cost(hours=sum(self.hours.values()))


class Sweep:
    """A budget, and slots that ask it for one trial after the other."""

    def __init__(self, limit=math.inf, expected=None, spent=0.0):
        self.books = Paid({"earlier": spent})
        self.budget = Budget(self.books, Limits(hours=limit), TrialHours(expected=expected))
        self.waiting = list(reversed(TRIALS))
        self.under_way = []

    def ask(self):
        admitted = self.budget.admit(self.waiting[-1])
        if admitted:
            self.under_way.append(self.waiting.pop())
        return admitted

    def end(self, hours, *, done=True):
        trial = self.under_way.pop(0)
        self.books.hours[trial.trial_id] = hours
        self.budget.settle(trial.trial_id, done=done)

    def live(self, hours, history):
        """A history in which each trial takes `hours`."""
        for asks in history:
            if asks:
                self.ask()
            elif self.under_way:
                self.end(hours)

    @property
    def committed(self):
        return self.budget.spent().hours, len(self.under_way)


@given(limit=limits, hours=whole_hours, history=histories)
def test_trials_that_take_what_is_typical_never_exceed_the_limit(limit, hours, history):
    sweep = Sweep(limit, hours)
    sweep.live(hours, history)
    spent, under_way = sweep.committed
    assert spent + under_way * hours <= limit


@given(limit=limits, hours=whole_hours, history=histories)
def test_a_trial_is_refused_only_where_it_does_not_fit_beside_what_is_under_way(limit, hours, history):
    sweep = Sweep(limit, hours)
    sweep.live(hours, history)
    spent, under_way = sweep.committed
    assert sweep.ask() == (spent + (under_way + 1) * hours <= limit)


@given(limit=limits, hours=whole_hours, n_slots=st.integers(1, 8), history=histories)
def test_as_long_as_nothing_is_known_only_the_slots_trials_go_on_trust(limit, hours, n_slots, history):
    sweep = Sweep(limit)
    on_trust = sum(sweep.ask() for _ in range(n_slots))
    assert on_trust == (n_slots if limit else 0)
    if on_trust:
        sweep.end(hours)
        sweep.live(hours, history)
    spent, under_way = sweep.committed
    assert spent + under_way * hours <= max(limit, on_trust * hours)


def test_what_trials_took_replaces_what_was_expected_of_them():
    sweep = Sweep(10, 1)
    assert sweep.ask()
    sweep.end(6)
    assert sweep.budget.trial_hours.mean == 6
    assert not sweep.ask(), "6 are spent, and a trial takes 6, not 1"


def test_what_a_failed_trial_took_is_spent_and_teaches_nothing_of_what_one_takes():
    sweep = Sweep(10, 4)
    assert sweep.ask()
    sweep.end(3, done=False)
    assert (sweep.budget.spent().hours, sweep.budget.trial_hours.mean) == (3, 4)
    assert sweep.ask()
    assert not sweep.ask()


def test_what_is_known_of_many_trials_is_not_forgotten_for_the_next_one():
    budget = Budget(Paid({TRIALS[0].trial_id: 4.0}), Limits(), TrialHours(measured=(1.0, 1.0, 1.0)))
    assert budget.admit(TRIALS[0])
    budget.settle(TRIALS[0].trial_id, done=True)
    assert budget.trial_hours.mean == 7 / 4


def test_a_trial_under_way_that_has_overrun_leaves_so_much_less():
    sweep = Sweep(10, 2)
    assert sweep.ask()
    sweep.books.hours[sweep.under_way[0].trial_id] = 7.0
    assert sweep.budget.hours_left() == 3
    assert sweep.ask(), "7 are spent, and nothing more is expected of the first"
    sweep.books.hours[sweep.under_way[0].trial_id] = 7.5
    assert not sweep.ask(), "7.5 are spent, 2 are promised"


def test_the_room_is_what_fits_in_beside_what_is_under_way():
    sweep = Sweep(10, 2)
    assert sweep.budget.room() == pytest.approx(5)
    assert sweep.ask()
    sweep.books.hours[sweep.under_way[0].trial_id] = 1.0
    assert sweep.budget.room() == pytest.approx(4), "1 is spent, 1 is promised"
    sweep.books.hours["earlier"] = 20.0
    assert sweep.budget.room() == 0
    assert math.isinf(Sweep(expected=2).budget.room())
    assert math.isinf(Sweep(10).budget.room())


def test_what_earlier_runs_spent_counts():
    assert not Sweep(10, 1, spent=9.5).ask()
    assert Sweep(10, 1, spent=8.5).ask()


def test_without_a_limit_everything_is_admitted():
    sweep = Sweep(expected=1e6)
    assert all(sweep.ask() for _ in TRIALS)


@pytest.mark.parametrize(
    ("limits", "hours"),
    [
        (Limits(), math.inf),
        (Limits(hours=8), 6),
        (Limits(hours=8, usd_per_hour=2.5), 6),
        (Limits(usd=10, usd_per_hour=2.5), 1.2),
        (Limits(hours=8, usd=10, usd_per_hour=2.5), 1.2),
        (Limits(hours=3, usd=10, usd_per_hour=2.5), 1),
    ],
)
def test_the_tighter_of_hours_and_dollars_says_what_is_left(limits, hours):
    assert limits.hours_left(Cost(hours=2, usd=7)) == pytest.approx(hours)


# The books.


@pytest.fixture
def folder(tmp_path):
    return SweepFolder(tmp_path)


def attempt(hours, *, kept=0.0, gpus=0.0, usd_per_hour=None, ended="done"):
    return Attempt(
        started="2026-01-02T03:04:05+00:00",
        seconds=3600.0 * hours,
        kept_seconds=3600.0 * kept,
        gpus=gpus,
        usd_per_hour=usd_per_hour,
        ended=ended,
    )


def paid(folder, index, *attempts):
    write_attempts(folder.trial(TRIALS[index].trial_id).attempts_file, attempts)


def test_every_attempt_counts_at_the_gpus_and_the_price_that_it_had(folder):
    paid(folder, 0, attempt(1, usd_per_hour=3, ended="interrupted"), attempt(2, kept=2, gpus=4, usd_per_hour=2))
    paid(folder, 1, attempt(1, gpus=0.5, usd_per_hour=4, ended="failed"))
    paid(folder, 2, attempt(1, ended=None))
    assert Books(folder, TRIALS).total() == Cost(hours=10.5, usd=3 + 16 + 2)
    assert Books(folder, TRIALS, 10.0).total() == Cost(hours=10.5, usd=3 + 16 + 2 + 10), "today's price"


def test_what_left_nothing_behind_is_told_apart(folder):
    paid(folder, 0, attempt(3, kept=2, ended="interrupted", usd_per_hour=1), attempt(2, kept=2, usd_per_hour=1))
    paid(folder, 1, attempt(2, kept=1, ended="interrupted"), attempt(1, kept=1, ended="diverged"))
    paid(folder, 2, attempt(2, kept=1, ended="failed"), attempt(1, kept=1))
    assert Books(folder, TRIALS).lost() == Cost(hours=1 + 3 + 1, usd=1)


def test_attempts_of_trials_that_have_no_result_are_spent_at_the_next_start(folder):
    for index, error in enumerate((Diverged("loss is nan"), ValueError("torn"))):
        with pytest.raises(type(error)), folder.trial(TRIALS[index].trial_id).metered(gpus=0, usd_per_hour=3600.0):
            raise error
    paid(folder, 2, attempt(5, ended=None, usd_per_hour=1))
    spent = Books(folder, TRIALS).total()
    assert 5 < spent.hours < 5.1
    assert spent.usd > 5


def test_a_trial_of_which_epochs_are_kept_needs_only_the_rest(folder):
    two_of_four, *_ = planned(epochs=4).trials
    trial = folder.trial(two_of_four.trial_id)
    trial.write_history([{"epoch": e, "seconds": 1.0} for e in (1, 2)])
    trial.checkpoint.mkdir()
    (trial.checkpoint / "checkpoint-2").mkdir()
    budget = Budget(Books(folder, [two_of_four]), Limits(hours=0.6), TrialHours(expected=1.0))
    assert budget.hours_needed([two_of_four]) == 0.5
    assert budget.admit(two_of_four)


def test_a_start_whose_books_cannot_be_read_is_refused(folder):
    path = folder.trial(TRIALS[0].trial_id).attempts_file
    path.parent.mkdir(parents=True)
    path.write_text("torn")
    with pytest.raises(LedgerError, match="attempts"):
        Books(folder, TRIALS)


def test_books_that_cannot_be_read_for_a_moment_hold_what_they_held(folder):
    paid(folder, 0, attempt(1))
    budget = Budget(Books(folder, TRIALS[:1]))
    assert budget.admit(TRIALS[0])
    folder.trial(TRIALS[0].trial_id).attempts_file.write_text("torn")
    assert budget.spent() == Cost(hours=1)
