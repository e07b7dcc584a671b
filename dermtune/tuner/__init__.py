"""A sweep's trials on Ray Tune. Only this folder knows Ray; the ledger, not Ray, remembers what is done."""

from dermtune.tuner.fitting import TunerError
from dermtune.tuner.planned import run
from dermtune.tuner.searched import search
from dermtune.tuner.worker import Execute, Together

__all__ = ["Execute", "Together", "TunerError", "run", "search"]
