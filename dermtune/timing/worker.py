"""The process that trains a few steps, `python -m dermtune.timing.worker ASKED.json NUMBER`; `asking` starts it.

It says on its standard output, a JSON object a line, how far it is and, last, what it found.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dermtune.config import Config, UserError
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place
from dermtune.execution import check_models

Say = Callable[[Mapping[str, Any]], None]


def main(asked: Path, number: str) -> None:
    """Time the trial that `asked` describes, as one of those side by side."""
    say = _speaker()
    try:
        timing = _timed(json.loads(asked.read_text(encoding="utf-8")), asked.parent / number, say)
        say({"timing": timing})
    except UserError as error:
        say({"refused": str(error)})
    except Exception as error:  # noqa: BLE001 whatever it is, a dry run goes on without a timing and says why
        say({"failed": " ".join(str(error).split()) or type(error).__name__})


def _timed(asked: Mapping[str, Any], folder: Path, say: Say) -> Mapping[str, Any]:
    config = Config.from_dict(asked["config"])
    place = Place(data_dir=Path(asked["data_dir"]), cache_dir=Path(asked["cache_dir"]))
    began = time.perf_counter()
    # torch: what a worker's first trial waits for, too
    from dermtune.microbatch import Memory, micro_batch_for
    from dermtune.timing.stopwatch import time_trial

    data = open_dataset(config.data, place)
    once = time.perf_counter() - began
    check_models({asked["arm"]: config}, data.classes, asked["micro_batch"])
    memory = Memory.of_gpu(asked["gpus"])
    timing = time_trial(
        config,
        data,
        folder,
        threads=asked["threads"],
        once=once,
        micro_batch=micro_batch_for(asked["micro_batch"], config, data.classes, place, memory),
        on_step=lambda done, of: say({"done": done, "of": of}),
    )
    return timing.to_dict()


def _speaker() -> Say:
    """What tells the asking process; anything that a library prints goes to standard error instead."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(what: Mapping[str, Any]) -> None:
        print(json.dumps(what), file=out, flush=True)

    return say


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
