"""The parity suite's second half: what went wrong on a laptop once, without a word or with a wrong one."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import uuid
from typing import Any, Dict

from kfp import dsl

from tests.engine.parity import parts, trap_parts
from tests.engine.parity.cases import case
from tests.engine.parity.suite import last_words


@case(succeeded=("random-numbers",) * 4 + ("all-differ",))
def random_numbers_that_differ() -> None:
    with dsl.ParallelFor([1, 2, 3, 4]):
        drawn = trap_parts.random_numbers()
    trap_parts.all_differ(rows=dsl.Collected(drawn.output))


@case(
    arguments={"text": "{{$.inputs.parameters['nope']}} {{$.foo}} {{$}} {{$.pipeline_job_name}} {{"},
    succeeded=("text", "expect", "optional", "expect-2", "write", "read", "expect-3"),
)
def values_that_look_like_placeholders(text: str = "") -> None:
    parts.expect(found=parts.text(value=text).output, wanted=text)
    built = parts.optional(value=f"<{text}>")
    parts.expect(found=built.output, wanted=f"<{text}>-7")
    parts.expect(found=parts.read(data=parts.write(content=text).outputs["out"]).output, wanted=text)


@case(state="FAILED", failed=("ends-without-a-word",), absent=("double",))
def output_that_is_not_written() -> None:
    parts.double(value=trap_parts.ends_without_a_word().output)


@case(succeeded=("statistics", "random", "types", "random-numbers"))
def components_named_as_modules() -> None:
    trap_parts.random_numbers().after(trap_parts.statistics(), trap_parts.random(), trap_parts.types())


@case(
    arguments={
        "boxes": [{"kg": 1.5, "count": 2}, {"kg": 3.0, "count": 1}],
        "numbers": [1, 2.5],
        "lists": [[1, 2]],
    },
    succeeded=("weight", "weight", "text", "text", "double", "largest", "text-2", "expect"),
)
def loop_items_that_are_called_texts(boxes: list = [], numbers: list = [], lists: list = []) -> None:  # noqa: B006
    with dsl.ParallelFor(boxes) as box:
        trap_parts.weight(box=box)
    with dsl.ParallelFor(numbers) as number:
        parts.text(value=number)
    with dsl.ParallelFor([{"a": [3], "b": "x"}]) as outer, dsl.ParallelFor(outer.a) as inside:
        parts.double(value=inside)
    with dsl.ParallelFor(lists) as items:
        trap_parts.largest(values=items)
        parts.expect(found=parts.text(value=items).output, wanted="[1,2]")


@case(succeeded=("numbers", "slow", "slow"))
def loop_that_ignores_its_items() -> None:
    with dsl.ParallelFor(parts.numbers(count=2).output):
        trap_parts.slow(seconds=0.0)


@case(succeeded=("size", "double"))
def size_that_a_task_tells() -> None:
    asked = trap_parts.size()
    sized = parts.double(value=1)
    sized.set_cpu_limit(asked.outputs["cpu"]).set_memory_limit(asked.outputs["memory"])


@case(state="FAILED", failed=("log-metric",), succeeded=("slow", "text", "last-words"))
def metric_that_is_no_number() -> None:
    with dsl.ExitHandler(last_words("FAILED")):
        trap_parts.log_metric(value="nan")
        parts.text(value=trap_parts.slow(seconds=1.0).output)


@case(state="FAILED", failed=("log-metric",), succeeded=("slow", "text"))
def metric_that_is_infinite() -> None:
    trap_parts.log_metric(value="inf")
    parts.text(value=trap_parts.slow(seconds=1.0).output)


@case(state="FAILED", failed=("real-of", "struct-of", "damages-its-output"), succeeded=("slow", "text"))
def outputs_that_are_no_json() -> None:
    trap_parts.real_of(text="nan")
    trap_parts.struct_of(text="-inf")
    trap_parts.damages_its_output()
    parts.text(value=trap_parts.slow(seconds=1.0).output)


@case(succeeded=("expect-json", "with-null", "expect-json-2"), arguments={"given": {"a": None, "b": [None]}})
def nulls_within_values(given: Dict[str, Any] = {}) -> None:  # noqa: B006
    trap_parts.expect_json(found=given, wanted='{"a": null, "b": [null]}')
    wanted = '{"list": [null, 1], "nothing": null, "real": 0.5}'
    trap_parts.expect_json(found=trap_parts.with_null().output, wanted=wanted)


@case(succeeded=("write-elsewhere", "read", "expect", "write-folder-elsewhere", "read-folder", "expect-2"))
def artifacts_at_paths_of_their_own() -> None:
    made = trap_parts.write_elsewhere(content="1").outputs["out"]
    parts.expect(found=parts.read(data=made).output, wanted="1")
    folder = trap_parts.write_folder_elsewhere().outputs["out"]
    parts.expect(found=parts.read_folder(data=folder).output, wanted="ab")


@case(
    succeeded=("starts-a-process", "is-there"), arguments={"file": f"/tmp/linnet-parity-{uuid.uuid4().hex}"}
)
def process_that_is_not_joined(file: str) -> None:
    trap_parts.is_there(path=file, wanted=True).after(trap_parts.starts_a_process(file=file))


@case(succeeded=("temporary-folder", "is-there"))
def temporary_folder_that_goes_with_its_task() -> None:
    trap_parts.is_there(path=trap_parts.temporary_folder().output, wanted=False)


@case(succeeded=("local-hour", "expect-number"))
def time_zone_of_a_task() -> None:
    hour = trap_parts.local_hour().set_env_variable("TZ", "UTC-5")
    parts.expect_number(found=hour.output, wanted=5)


PLACEHOLDERS = (
    dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
    dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    dsl.PIPELINE_TASK_ID_PLACEHOLDER,
    dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
    dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
)


@case(succeeded=("expect", *(f"resolved{n}" for n in ("", "-2", "-3", "-4", "-5", "-6", "-7"))))
def names_of_the_run() -> None:
    parts.expect(found=dsl.PIPELINE_TASK_NAME_PLACEHOLDER, wanted="expect")
    for placeholder in PLACEHOLDERS:
        trap_parts.resolved(value=placeholder)


@dsl.pipeline
def third_time(place: str) -> int:
    return parts.double(value=parts.fails_until(path=place, attempts=3).output).output


@case(
    succeeded=("fails-until", "double", "expect-number"),
    arguments={"place": f"/tmp/linnet-parity/{uuid.uuid4().hex}"},
)
def nested_pipeline_that_is_tried_again(place: str) -> None:
    tried = third_time(place=place)
    tried.set_retry(3, backoff_duration="1s", backoff_factor=1.0)
    parts.expect_number(found=tried.output, wanted=6)


@case(succeeded=("text", "expect", "expect-2"))
def output_within_a_list_and_a_struct() -> None:
    made = parts.text(value='a"b\\')
    parts.expect(found=parts.joined(values=[made.output, "c"]).output, wanted='a"b\\c')
    parts.expect(found=trap_parts.value_of(struct={"key": made.output}, key="key").output, wanted='a"b\\')


@case(state="FAILED", absent=("text",))
def loop_item_that_the_compiler_forgets(go: int = 1) -> None:
    with dsl.If(go == 1), dsl.ParallelFor([1, 2]) as item:
        parts.text(value=f"{item}")


@case(succeeded=("leaves-state", "finds-no-state") * 3)
def state_of_a_process_that_stays_with_it() -> None:
    with dsl.ParallelFor([1, 2, 3], parallelism=1):
        trap_parts.finds_no_state().after(trap_parts.leaves_state())
