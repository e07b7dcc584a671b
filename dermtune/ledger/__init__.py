"""What a sweep leaves on disk: trial folders, done markers, checkpoints, and the lock of its one driver."""

from dermtune.ledger.lock import LedgerError, written_alone
from dermtune.ledger.meter import Attempt, Meter, account_of, attempts_of, bill, merged, write_attempts
from dermtune.ledger.sweep import SweepFolder
from dermtune.ledger.trial import SEALED, Diverged, FailureStatus, Pruned, TrialFolder

__all__ = [
    "SEALED",
    "Attempt",
    "Diverged",
    "FailureStatus",
    "LedgerError",
    "Meter",
    "Pruned",
    "SweepFolder",
    "TrialFolder",
    "account_of",
    "attempts_of",
    "bill",
    "merged",
    "write_attempts",
    "written_alone",
]
