"""The parity suite: pipelines that must do the same on a laptop's engine and on a cluster."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import uuid
from typing import Any, Dict, List

from kfp import dsl

from tests.engine.parity import parts
from tests.engine.parity.cases import case


@case(succeeded=("number", "double", "expect-number"))
def chain_of_numbers() -> None:
    parts.expect_number(found=parts.double(value=parts.number(value=21).output).output, wanted=42)


@case(arguments={"word": "given"}, succeeded=("text", "expect"))
def parameter_that_is_given(word: str = "default") -> None:
    parts.expect(found=parts.text(value=word).output, wanted="given")


@case(succeeded=("text", "expect"))
def parameter_with_default(word: str = "default") -> None:
    parts.expect(found=parts.text(value=word).output, wanted="default")


@case(arguments={"values": {"a": {"b": [1, 2]}}}, succeeded=("expect-struct",))
def struct_parameter(values: Dict[str, Any] = {}) -> None:  # noqa: B006
    parts.expect_struct(found=values, wanted={"a": {"b": [1, 2]}})


@case(arguments={"values": [1, 2, 3]}, succeeded=("total", "expect-number"))
def list_parameter(values: List[int] = []) -> None:  # noqa: B006
    parts.expect_number(found=parts.total(values=values).output, wanted=6)


@case(succeeded=("text", "text-2", "expect"))
def text_built_of_outputs() -> None:
    first, second = parts.text(value="a'b\"c"), parts.text(value="2")
    parts.expect(found=f"<{first.output}|{second.output}>", wanted="<a'b\"c|2>")


@case(succeeded=("two", "expect", "expect-number"))
def several_outputs() -> None:
    made = parts.two()
    parts.expect(found=made.outputs["word"], wanted="a")
    parts.expect_number(found=made.outputs["count"], wanted=2)


@case(succeeded=("optional", "optional-2", "expect", "expect-2"))
def optional_inputs() -> None:
    parts.expect(found=parts.optional().output, wanted="None-7")
    parts.expect(found=parts.optional(value="x", other=1).output, wanted="x-1")


@case(succeeded=("expect",))
def optional_pipeline_input(word: str = "") -> None:
    parts.expect(found=word, wanted="")


@case(succeeded=("write", "read", "length", "expect", "expect-number"))
def artifact_with_metadata() -> None:
    made = parts.write(content="abc").outputs["out"]
    parts.expect(found=parts.read(data=made).output, wanted="abc")
    parts.expect_number(found=parts.length(data=made).output, wanted=3)


@case(succeeded=("write-folder", "read-folder", "expect"))
def artifact_that_is_a_folder() -> None:
    parts.expect(found=parts.read_folder(data=parts.write_folder().outputs["out"]).output, wanted="ab")


@case(succeeded=("read-optional", "expect"))
def artifact_that_is_optional() -> None:
    parts.expect(found=parts.read_optional().output, wanted="nothing")


@case(succeeded=("write-path", "expect"))
def output_path_of_a_parameter() -> None:
    parts.expect(found=parts.write_path(content="line").outputs["out"], wanted="line")


@case(succeeded=("model", "metric"))
def metrics_of_a_model() -> None:
    parts.metric(metrics=parts.model().outputs["metrics"])


@case(state="FAILED", absent=("read", "expect"))
def importer_of_what_is_not_there() -> None:
    """A cluster fails the task that reads it, as no bucket is called so; here the importer itself fails."""
    uri = "s3://no-bucket-is-called-so-2f6f/data"
    found = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=False)
    parts.expect(found=parts.read(data=found.output).output, wanted="")


@case(succeeded=("write", "imported", "importer", "imported-2", "read", "expect"))
def importer_of_an_output() -> None:
    uri = parts.imported(data=parts.write(content="far").outputs["out"]).output
    found = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"from": "a test"})
    parts.imported(data=found.output)
    parts.expect(found=parts.read(data=found.output).output, wanted="far")


@case(succeeded=("text", "double"), absent=("fail",))
def condition_on_a_text() -> None:
    made = parts.text(value="it's \"so\" == ''")
    with dsl.If(made.output != "so"):
        parts.double(value=1)
    with dsl.If(made.output == "so"):
        parts.fail()


@case(succeeded=("number", "double", "double-2"), absent=("fail",))
def condition_on_a_number() -> None:
    made = parts.number(value=5)
    with dsl.If(made.output > 4):
        parts.double(value=1)
        with dsl.If(made.output <= 5):
            parts.double(value=2)
        with dsl.If(made.output == 6):
            parts.fail()


@case(succeeded=("truth", "double"), absent=("fail",))
def condition_on_a_truth() -> None:
    made = parts.truth(value=True)
    with dsl.If(made.output == True):  # noqa: E712
        parts.double(value=1)
    with dsl.Else():
        parts.fail()


@case(arguments={"flag": "b"}, succeeded=("number", "expect-number"), absent=("fail", "fail-2"))
def if_elif_else(flag: str = "a") -> None:
    with dsl.If(flag == "a"):
        parts.fail()
    with dsl.Elif(flag == "b"):
        parts.expect_number(found=parts.number(value=2).output, wanted=2)
    with dsl.Else():
        parts.fail()


@case(succeeded=("text", "text-3", "expect"), absent=("text-2",))
def one_of_parameters() -> None:
    flag = parts.text(value="no")
    with dsl.If(flag.output == "yes"):
        first = parts.text(value="then")
    with dsl.Else():
        second = parts.text(value="else")
    parts.expect(found=dsl.OneOf(first.output, second.output), wanted="else")


@case(succeeded=("text", "write-2", "read", "expect"), absent=("write", "write-3"))
def one_of_artifacts() -> None:
    flag = parts.text(value="b")
    with dsl.If(flag.output == "a"):
        first = parts.write(content="1")
    with dsl.Elif(flag.output == "b"):
        second = parts.write(content="2")
    with dsl.Else():
        third = parts.write(content="3")
    chosen = dsl.OneOf(first.outputs["out"], second.outputs["out"], third.outputs["out"])
    parts.expect(found=parts.read(data=chosen).output, wanted="2")


@case(succeeded=("double",) * 3)
def loop_over_constants() -> None:
    with dsl.ParallelFor([1, 2, 3]) as item:
        parts.double(value=item)


@case(succeeded=("numbers", "double", "double", "double", "double", "total", "expect-number"))
def loop_over_an_output_collected() -> None:
    with dsl.ParallelFor(parts.numbers(count=4).output, parallelism=2) as item:
        doubled = parts.double(value=item)
    parts.expect_number(found=parts.total(values=dsl.Collected(doubled.output)).output, wanted=12)


@case(arguments={"words": ["x", "y"]}, succeeded=("text", "text", "joined", "expect"))
def loop_over_a_parameter(words: List[str] = []) -> None:  # noqa: B006
    with dsl.ParallelFor(words) as word:
        said = parts.text(value=word)
    parts.expect(found=parts.joined(values=dsl.Collected(said.output)).output, wanted="xy")


@case(succeeded=("text", "expect", "text", "expect"))
def loop_over_structs() -> None:
    with dsl.ParallelFor([{"said": "a", "meant": "a"}, {"said": "b", "meant": "b"}]) as item:
        parts.expect(found=parts.text(value=item.said).output, wanted=item.meant)


@case(succeeded=("write", "write", "write", "read-all", "expect"))
def loop_of_artifacts_collected() -> None:
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        made = parts.write(content=item)
    parts.expect(found=parts.read_all(data=dsl.Collected(made.outputs["out"])).output, wanted="abc")


@case(succeeded=("text", "text", "struct", "struct", "struct", "struct"))
def loop_within_a_loop() -> None:
    # The SDK does not hand the outer item in to the inner loop (2.17.0), so it goes through a task.
    with dsl.ParallelFor(["a", "b"]) as first:
        outer = parts.text(value=first)
        with dsl.ParallelFor([1, 2]) as second:
            parts.struct(key=outer.output, value=second)


@case(succeeded=("number", "number", "number", "double"))
def condition_within_a_loop() -> None:
    with dsl.ParallelFor([1, 2, 3]) as item:
        made = parts.number(value=item)
        with dsl.If(made.output == 2):
            parts.double(value=made.output)


@case(succeeded=("numbers", "total", "expect-number"))
def loop_over_nothing() -> None:
    with dsl.ParallelFor(parts.numbers(count=0).output) as item:
        doubled = parts.double(value=item)
    parts.expect_number(found=parts.total(values=dsl.Collected(doubled.output)).output, wanted=0)


@dsl.pipeline
def inner(value: int = 1) -> int:
    return parts.double(value=parts.double(value=value).output).output


@case(succeeded=("double", "double-2", "double", "double-2", "expect-number"))
def nested_pipelines() -> None:
    first = inner(value=3)
    parts.expect_number(found=inner(value=first.output).output, wanted=48)


@case(succeeded=("double", "double-2", "double", "double-2", "total", "expect-number"))
def nested_pipeline_in_a_loop() -> None:
    with dsl.ParallelFor([1, 2]) as item:
        made = inner(value=item)
    parts.expect_number(found=parts.total(values=dsl.Collected(made.output)).output, wanted=12)


def last_words(wanted: str) -> Any:
    run = dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER
    return parts.last_words(wanted=wanted, task="exit-handler-1", run=run)


@case(succeeded=("text", "last-words"))
def exit_handler_after_success() -> None:
    with dsl.ExitHandler(last_words("COMPLETE")):
        parts.text()


@case(state="FAILED", succeeded=("last-words",), failed=("fail",), absent=("expect",))
def exit_handler_after_failure() -> None:
    with dsl.ExitHandler(last_words("FAILED")):
        parts.expect(found=parts.fail().output, wanted="")


@case(
    succeeded=("fails-until", "expect-number"), arguments={"place": f"/tmp/linnet-parity/{uuid.uuid4().hex}"}
)
def task_that_works_at_the_third_try(place: str) -> None:
    tried = parts.fails_until(path=place, attempts=3)
    # On a cluster a try is a pod of its own, whose /tmp is empty: the host needs a shared folder there.
    tried.set_retry(3, backoff_duration="1s", backoff_factor=1.0)
    parts.expect_number(found=tried.output, wanted=3)


@case(state="FAILED", failed=("fail",), absent=("expect",))
def failure_that_is_not_handled() -> None:
    parts.expect(found=parts.fail().output, wanted="")


@case(failed=("fail",), succeeded=("text",), state="")
def task_that_ignores_failures_before_it() -> None:
    parts.text(value="on").after(parts.fail()).ignore_upstream_failure()


@case(succeeded=("environment", "expect"))
def environment_variable() -> None:
    found = parts.environment(name="PARITY").set_env_variable("PARITY", "set")
    parts.expect(found=found.output, wanted="set")


@case(succeeded=("number", "number-2", "double"))
def order_without_data() -> None:
    first, second = parts.number(value=1), parts.number(value=2)
    parts.double(value=3).after(first, second)


@case(succeeded=("a name of my own",))
def display_name_of_a_task() -> None:
    parts.text().set_display_name("a name of my own")
