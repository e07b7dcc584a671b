"""What a sweep leaves on disk: trial folders, done markers, checkpoints, and the lock of its one driver."""

from dermtune.ledger.lock import LedgerError
from dermtune.ledger.sweep import SweepFolder
from dermtune.ledger.trial import SEALED, Diverged, FailureStatus, TrialFolder

__all__ = ["SEALED", "Diverged", "FailureStatus", "LedgerError", "SweepFolder", "TrialFolder"]
