"""Components of the parity suite: small, self-contained, and able to run on a cluster as they are."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import warnings
from typing import Any, Dict, List, NamedTuple, Optional

from kfp import dsl

warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")
component = dsl.component(base_image="python:3.11")


@component
def number(value: int) -> int:
    return value


@component
def text(value: str = "hello") -> str:
    return value


@component
def truth(value: bool) -> bool:
    return value


@component
def real(value: float) -> float:
    return value


@component
def numbers(count: int) -> List[int]:
    return list(range(count))


@component
def struct(key: str, value: int) -> Dict[str, int]:
    return {key: value}


@component
def double(value: int) -> int:
    assert isinstance(value, int), type(value)
    return 2 * value


@component
def total(values: List[int]) -> int:
    assert all(isinstance(value, int) for value in values), values
    return sum(values)


@component
def joined(values: List[str]) -> str:
    return "".join(values)


@component
def expect(found: str, wanted: str) -> None:
    """What a pipeline's outputs are checked with: a host shows no values through its API."""
    assert found == wanted, f"{found!r} is not {wanted!r}"


@component
def expect_number(found: int, wanted: int) -> None:
    assert isinstance(found, int) and found == wanted, f"{found!r} is not {wanted!r}"


@component
def expect_struct(found: Dict[str, Any], wanted: Dict[str, Any]) -> None:
    assert found == wanted, f"{found!r} is not {wanted!r}"


@component
def fail(why: str = "on purpose") -> str:
    raise RuntimeError(why)


@component
def fails_until(path: str, attempts: int) -> int:
    """Fails until it was tried `attempts` times; `path` is a folder that outlives a try."""
    import os

    os.makedirs(path, exist_ok=True)
    tries = len(os.listdir(path)) + 1
    open(os.path.join(path, str(tries)), "w").close()
    assert tries >= attempts, f"try {tries}"
    return tries


@component
def optional(value: Optional[str] = None, other: int = 7) -> str:
    return f"{value}-{other}"


@component
def two() -> NamedTuple("Outputs", [("word", str), ("count", int)]):  # type: ignore[valid-type]
    from collections import namedtuple

    return namedtuple("Outputs", ["word", "count"])("a", 2)


@component
def write(content: str, out: dsl.Output[dsl.Dataset]) -> None:
    with open(out.path, "w") as file:
        file.write(content)
    out.metadata["length"] = len(content)


@component
def write_path(content: str, out: dsl.OutputPath(str)) -> None:  # type: ignore[valid-type]
    with open(out, "w") as file:
        file.write(content)


@component
def write_folder(out: dsl.Output[dsl.Artifact]) -> None:
    import os

    os.makedirs(out.path)
    for name in ("a", "b"):
        with open(os.path.join(out.path, name), "w") as file:
            file.write(name)


@component
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@component
def read_optional(data: Optional[dsl.Input[dsl.Dataset]] = None) -> str:
    return "nothing" if data is None else open(data.path).read()


@component
def read_folder(data: dsl.Input[dsl.Artifact]) -> str:
    import os

    return "".join(open(os.path.join(data.path, name)).read() for name in sorted(os.listdir(data.path)))


@component
def length(data: dsl.Input[dsl.Dataset]) -> int:
    return int(data.metadata["length"])


@component
def read_all(data: dsl.Input[List[dsl.Dataset]]) -> str:
    return "".join(open(one.path).read() for one in data)


@component
def imported(data: dsl.Input[dsl.Dataset]) -> str:
    return str(data.uri)


@component
def model(out: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]) -> str:
    open(out.path, "w").close()
    out.metadata["framework"] = "none"
    metrics.log_metric("accuracy", 0.5)
    return "made"


@component
def metric(metrics: dsl.Input[dsl.Metrics]) -> float:
    return float(metrics.metadata["accuracy"])


@component
def environment(name: str) -> str:
    import os

    return os.environ.get(name, "")


@component
def last_words(status: dsl.PipelineTaskFinalStatus, wanted: str, task: str, run: str) -> None:
    """`wanted`: the state in the words of a cluster's driver, which are those of ML Metadata."""
    assert status.state == wanted, status.state
    assert status.pipeline_task_name == task, status.pipeline_task_name
    assert status.pipeline_job_resource_name == run, status.pipeline_job_resource_name
