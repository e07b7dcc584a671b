"""Whether a sweep's folder is what its trials left: every file and every pair of them. Nothing is repaired."""

from dermtune.integrity.finding import FATAL, SEVERITIES, Finding, Inspection, Severity
from dermtune.integrity.inspection import IntegrityError, inspect

__all__ = ["FATAL", "SEVERITIES", "Finding", "Inspection", "IntegrityError", "Severity", "inspect"]
