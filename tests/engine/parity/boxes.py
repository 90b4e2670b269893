"""Container components: cases of the parity suite for hosts that run containers."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
from kfp import dsl

from tests.engine.parity import box_parts as box
from tests.engine.parity import parts
from tests.engine.parity.cases import Case, added_to

BOX_CASES: list[Case] = []
case = added_to(BOX_CASES)


@case(succeeded=("boxed-text", "expect", "boxed-number", "expect-number"))
def box_gives_parameters() -> None:
    word = 'it\'s "a" $HOME {{$.x}}'
    parts.expect(found=box.boxed_text(text=word).output, wanted=word)
    parts.expect_number(found=box.boxed_number(value=21).output, wanted=42)


@case(succeeded=("boxed-write", "boxed-read", "read-folder", "expect", "expect-2"))
def box_gives_a_folder_to_a_box_and_to_python() -> None:
    made = box.boxed_write(content="a").outputs["data"]
    parts.expect(found=box.boxed_read(data=made).output, wanted="a!")
    parts.expect(found=parts.read_folder(data=made).output, wanted="a!")


@case(succeeded=("write", "boxed-cat", "expect"))
def box_reads_what_python_wrote() -> None:
    made = parts.write(content="from python").outputs["out"]
    parts.expect(found=box.boxed_cat(data=made).output, wanted="from python")


@case(succeeded=("write", "boxed-metadata", "expect"))
def box_is_told_metadata() -> None:
    made = parts.write(content="abc").outputs["out"]
    parts.expect(found=box.boxed_metadata(data=made).output, wanted="3")


@case(succeeded=("boxed-choice", "boxed-choice-2", "expect", "expect-2"))
def box_chooses_its_words() -> None:
    word = '{"Concat": ["x"]}'
    parts.expect(found=box.boxed_choice(word=word).output, wanted=f"--word {word} a+b")
    parts.expect(found=box.boxed_choice().output, wanted="--none a+c")


@case(succeeded=("boxed-compare", "expect"))
def box_has_the_shell_of_its_image() -> None:
    told = box.boxed_compare(one="one", two="two").output
    parts.expect(found=told, wanted="one+2=three")


@case(succeeded=("boxed-struct", "expect"))
def box_takes_structs_and_lists() -> None:
    told = box.boxed_struct(values={"a": [1, {"b": "c"}]}, items=[1, 2], flag=True).output
    parts.expect(found=told, wanted='{"a":[1,{"b":"c"}]} [1,2] true')


@case(succeeded=("boxed-variable", "boxed-variable-2", "expect", "expect-2"))
def box_has_its_variables_and_not_ours() -> None:
    mine = box.boxed_variable(name="MINE").set_env_variable("MINE", "a\nb=c")
    parts.expect(found=mine.output, wanted="a\nb=c")
    parts.expect(found=box.boxed_variable(name="LINNET_HOME").output, wanted="")


@case(state="FAILED", failed=("boxed-exit",), absent=("text",))
def box_fails() -> None:
    parts.text(value="x").after(box.boxed_exit(code=3))


@case(state="FAILED", failed=("boxed-silent",))
def box_that_does_not_write_its_output_fails() -> None:
    box.boxed_silent()


@case(state="FAILED", failed=("boxed-exit",), succeeded=("boxed-echo",))
def box_is_an_exit_task() -> None:
    with dsl.ExitHandler(box.boxed_echo()):
        box.boxed_exit(code=1)


@case(succeeded=("boxed-text",) * 4 + ("joined", "expect"))
def boxes_side_by_side() -> None:
    with dsl.ParallelFor(["a", "b", "c", "d"]) as item:
        made = box.boxed_text(text=item)
    parts.expect(found=parts.joined(values=dsl.Collected(made.output)).output, wanted="abcd")


@case(succeeded=("boxed-echo",))
def box_with_limits() -> None:
    task = box.boxed_echo()
    task.set_cpu_limit("1").set_memory_limit("64Mi")
