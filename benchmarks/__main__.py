"""`make bench`, or `python -m benchmarks NAME...` for some of them."""

from __future__ import annotations

import importlib
import sys

ALL = (
    "steps",
    "orchestration",
    "run",
    "accuracy",
    "judge",
    "labels",
    "mask_latency",
    "transfer",
    "photo_champion",
    "drift",
    "drift_power",
    "conformance",
    "serving",
    "console",
)
WITH_OPTIONS = ("conformance", "photo_champion", "scale", "serving", "transfer")

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in WITH_OPTIONS:
        importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        sys.exit()
    chosen = sys.argv[1:] or ALL
    for name in chosen:
        if name not in ALL:
            sys.exit(f"there is no benchmark {name!r}: choose from {', '.join(ALL)}")
        importlib.import_module(f"benchmarks.{name}").main()
