"""One compiled pipeline by kfp.local's subprocess runner: prints what became of it, as JSON.

The environment is made for this sample and thrown away, so what a component installs goes into it, and
no further environment is made for each task.
"""

import json
import sys

from kfp import components, local

REFUSALS = ("not supported", "not yet supported", "Unsupported", "unsupported", "only supports", "cannot run")
REFUSALS += ("required argument",)  # an artifact as the input of a pipeline, which the benchmark cannot give


def main(file: str, arguments: str) -> None:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root="outputs")
    state, reason = "succeeded", ""
    try:
        components.load_component_from_file(file)(**json.loads(arguments))
    except Exception as error:  # noqa: BLE001  whatever it raises is the outcome
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        refused = isinstance(error, NotImplementedError) or any(word in reason for word in REFUSALS)
        state = "refused" if refused else "failed"
    sys.stderr.write("\n" + json.dumps({"state": state, "reason": reason}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
