"""Container components of the parity suite. Their image needs a shell and nothing else."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import os
from typing import Any, Dict, List, Optional

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output, OutputPath

IMAGE = os.environ.get("LINNET_PARITY_IMAGE", "busybox:1")


def shell(script: str, *words: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", script], args=list(words))


@dsl.container_component
def boxed_text(text: str, out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('mkdir -p "$(dirname "$1")" && echo -n "$0" > "$1"', text, out)


@dsl.container_component
def boxed_number(value: int, out: OutputPath(int)):  # type: ignore[valid-type,no-untyped-def]
    return shell('echo -n $(($0 * 2)) > "$1"', value, out)


@dsl.container_component
def boxed_write(content: str, data: Output[Dataset]):  # type: ignore[no-untyped-def]
    return shell('mkdir -p "$1" && echo -n "$0" > "$1/a" && echo -n "!" > "$1/b"', content, data.path)


@dsl.container_component
def boxed_read(data: Input[Dataset], out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('cat "$0/a" "$0/b" > "$1"', data.path, out)


@dsl.container_component
def boxed_cat(data: Input[Dataset], out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('cat "$0" > "$1"', data.path, out)


@dsl.container_component
def boxed_spoil(data: Input[Dataset]):  # type: ignore[no-untyped-def]
    return shell('echo spoilt > "$0"; true', data.path)


@dsl.container_component
def boxed_choice(out: OutputPath(str), word: Optional[str] = None):  # type: ignore[valid-type,no-untyped-def]
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["sh", "-c", 'out="$0"; echo -n "$*" > "$out"', out],
        args=[
            dsl.IfPresentPlaceholder("word", then=["--word", word], else_=["--none"]),
            dsl.ConcatPlaceholder(["a", "+", dsl.IfPresentPlaceholder("word", then="b", else_="c")]),
        ],
    )


@dsl.container_component
def boxed_metadata(data: Input[Artifact], out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('echo -n "$0" > "$1"', data.metadata["length"], out)


@dsl.container_component
def boxed_struct(values: Dict[str, Any], items: List[int], flag: bool, out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('echo -n "$0 $1 $2" > "$3"', values, items, flag, out)


@dsl.container_component
def boxed_variable(name: str, out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell('eval "echo -n \\"\\$$0\\"" > "$1"', name, out)


@dsl.container_component
def boxed_compare(one: str, two: str, out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    """In words that busybox's shell has beyond POSIX."""
    script = '[[ "$0" == one+two=three ]] && text="$0" && echo -n "${text/two/2}" > "$1"'
    return shell(script, dsl.ConcatPlaceholder([one, "+", two, "=three"]), out)


@dsl.container_component
def boxed_exit(code: int):  # type: ignore[no-untyped-def]
    return shell('echo "goes wrong" >&2; exit $0', code)


@dsl.container_component
def boxed_silent(out: OutputPath(str)):  # type: ignore[valid-type,no-untyped-def]
    return shell("true", out)


@dsl.container_component
def boxed_sleep(seconds: int):  # type: ignore[no-untyped-def]
    return shell("echo sleeping; sleep $0", seconds)


@dsl.container_component
def boxed_echo():  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(image=IMAGE, command=["echo", "hello from a box"])
