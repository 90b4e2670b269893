"""ZenML's local orchestrator, run by the peer's own Python: prints seconds as JSON."""

import json
import sys
import time

from zenml import pipeline, step


@step
def nothing(number: int) -> int:
    return number + 1


@step
def first() -> int:
    return 0


def main(steps: int) -> None:
    @pipeline
    def chain() -> None:
        number = first()
        for _ in range(steps - 1):
            number = nothing(number)

    chain.with_options(enable_cache=False)()  # makes the database, and what else a first run makes
    seconds = []
    for cache in (False, True):
        started = time.perf_counter()
        chain.with_options(enable_cache=cache)()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"worked": seconds[0], "cached": seconds[1]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
