"""Those who follow a tested sweep."""

import threading

from dermtune.monitors import Monitor


class Heard(Monitor):
    """Keeps what a monitor is told, and in which order."""

    def __init__(self):
        self.events = []
        self.reasons = {}
        self.lock = threading.Lock()  # as a real monitor has one: nothing may try to pickle it

    def started(self, trial):
        self.events.append(("started", trial.title))

    def epoch(self, trial, row):
        self.events.append((f"epoch {row['epoch']}", trial.title))

    def noticed(self, trial, what):
        self.events.append((what, trial.title))

    def finished(self, trial, scores):
        self.events.append((f"finished with {scores['balanced_accuracy']:.2f}", trial.title))

    def pruned(self, trial, row):
        self.events.append((f"pruned after epoch {row['epoch']}", trial.title))

    def failed(self, trial, reason):
        self.events.append(("failed", trial.title))
        self.reasons[trial.title] = reason

    def of(self, trial):
        return [event for event, title in self.events if title == trial.title]
