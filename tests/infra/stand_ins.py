"""Stand-ins for SLURM, Ray and a sweep, in a virtual environment's place: for what `sweep.sbatch` does around."""

import stat
from pathlib import Path

STAND_INS = {
    # Runs the head's task, and ends with the code that another node's may end with.
    "srun": """
        echo "$@" >>"$HERE/srun.calls"
        [[ " $* " == *" ray stop "* ]] && exit 0
        printf '%s\\n' "$@" >"$HERE/srun.arguments"
        while [[ $1 == -* ]]; do shift; done
        SLURM_NODEID=0 "$@" || true
        exit 143
    """,
    # A cluster's nodes: the head ends when its command does, the other has not noticed yet, or its Ray has died.
    "ray": """
        [[ $1 == stop ]] && exit 0
        [[ -e $HERE/ray_fails ]] && exit 0
        while [[ $1 != -- ]]; do shift; done
        shift
        hostname >>"$HERE/nodes"
        [[ $SLURM_NODEID == 0 ]] && exec "$@"
        [[ -e $HERE/other_dies ]] || exec sleep 1000
    """,
    "python": """
        printf '%s\\n' "$@" >"$HERE/sweep.arguments"
        env >"$HERE/sweep.environment"
        trap 'exit 138' USR1
        [[ -e $HERE/is_at_its_end ]] && trap '' USR1
        trap 'exit 143' TERM
        [[ -e $HERE/is_killed ]] && kill -KILL "$PPID"
        touch "$HERE/trains"
        while [[ -e $HERE/goes_on ]]; do sleep 0.05; done
        exit "$(<"$HERE/code")"
    """,
    "scontrol": """
        echo "$@" >>"$HERE/scontrol.arguments"
    """,
}


def make_stand_ins(here: Path, *names: str) -> Path:
    """The folder of a virtual environment that has these commands; what they are asked is written into `here`."""
    commands = here / "venv" / "bin"
    commands.mkdir(parents=True)
    for name in names:
        command = commands / name
        command.write_text(f"#!/bin/bash\n{STAND_INS[name]}")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return commands.parent
