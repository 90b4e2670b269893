"""kfp.local with its defaults (a venv a step), run by the peer's own Python: prints seconds as JSON."""

import contextlib
import json
import os
import sys
import time

from kfp import dsl, local


@dsl.component
def nothing(number: int) -> int:
    return number + 1


def main(steps: int) -> None:
    @dsl.pipeline(name="chain")
    def chain() -> None:
        task = nothing(number=0)
        for _ in range(steps - 1):
            task = nothing(number=task.output)

    local.init(runner=local.SubprocessRunner(), enable_caching=True)
    seconds = []
    for _ in ("worked", "cached"):
        started = time.perf_counter()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            chain()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"worked": seconds[0], "cached": seconds[1]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
