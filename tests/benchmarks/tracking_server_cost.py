"""What it costs to send a sweep to a team's server, and what that server spends on it.

Run:      python -m tests.benchmarks.tracking_server_cost
Needs:    Debian's postgresql.
Measures: seconds and CPU seconds of an export of 40 finished trials of the laptop recipe, 12 epochs each, and CPU
          seconds of the server of infra/mlflow, started as its unit says, with PostgreSQL and moto's S3 on the same
          machine; once as it is, and once with passwords that are checked anew at every request.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from dermtune.ledger import SweepFolder
from dermtune.tracking import Exporter
from tests.benchmarks.tracking_cost import epochs, finish, history, planned
from tests.infra.mlflow_unit import SECRETS, UnitServer, fill, unit_server

CACHED = "auth_cache_ttl_seconds"


def main() -> None:
    """Print what each way costs, a trial."""
    say = Console(highlight=False).print
    os.environ["MLFLOW_TRACKING_USERNAME"] = "admin"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"]
    with tempfile.TemporaryDirectory() as folder:
        sweep = finished(Path(folder))
        n = len(planned().trials)
        say(f"{n} trials; a trial:")
        for words, settings in (("as it is", {}), ("every request checked", {CACHED: "0"})):
            with server(settings) as team:
                before, started, spent = cpu_seconds(team), time.monotonic(), time.process_time()
                exporter = Exporter(team.uri, planned(), sweep, "Does it help?")
                assert exporter.finish("FINISHED")
                wall, ours = time.monotonic() - started, time.process_time() - spent
                theirs = cpu_seconds(team) - before
            say(f"{words:24} {wall / n:6.3f} s  exporter {ours / n:6.3f} CPU s  server {theirs / n:6.3f} CPU s")


def finished(where: Path) -> SweepFolder:
    """The folder of a sweep whose trials are all done."""
    the_plan = planned()
    folder = SweepFolder(where / the_plan.folder_name)
    for trial in the_plan.trials:
        folder.trial(trial.trial_id).write_history(history(epochs(the_plan)))
        finish(folder, trial)
    return folder


@contextlib.contextmanager
def server(settings: dict[str, str]) -> Iterator[UnitServer]:
    """The team's server at work, with these lines in its auth.ini changed."""
    with tempfile.TemporaryDirectory() as root, unit_server(Path(root)) as team:
        users = Path(root) / "opt" / "dermtune-mlflow" / "auth.ini"
        kept = [line for line in users.read_text().splitlines() if line.partition(" ")[0] not in settings]
        users.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in settings.items())]))
        fill(team)
        team.start()
        yield team


def cpu_seconds(team: UnitServer) -> float:
    """CPU seconds of the server and its workers so far."""
    assert team.process is not None
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == team.process.pid:  # the process group
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
