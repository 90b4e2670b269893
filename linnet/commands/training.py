"""`linnet run`, `linnet compile` and `linnet init`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from linnet.commands.terminal import progress_bars, terminal
from linnet.config import Config, Layout, load_config
from linnet.errors import ConfigError
from linnet.records import RunRecord, RunRequest
from linnet.run import runs

if TYPE_CHECKING:
    from linnet.launch.client import Host
    from linnet.launch.submit import Submitted

EXIT_CODES = {"succeeded": 0, "rejected": 3, "interrupted": 130}

ConfigPath = Annotated[Path, typer.Argument(help="A config file, such as configs/fashion.toml.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Another value for one setting; repeatable."),
]


def run(
    config: ConfigPath,
    settings: Settings = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run, and why.")] = False,
    reason: Annotated[str, typer.Option(help="Why you run it; stands in the run's record.")] = "",
    host: Annotated[
        str, typer.Option(help="Address of a Kubeflow Pipelines API; else `engine.host`, or this machine.")
    ] = "",
) -> None:
    """Run the training pipeline: raw images to a champion that came through its canary.

    It is compiled and submitted to this machine's engine, which is started where none runs, or to a
    cluster. Ctrl-C terminates the run.

    Steps whose inputs did not change come from the cache. The exit status is 0 when a champion was
    promoted (or stays), 3 when a gate or the canary said no, and 1 when a step failed.

    Examples:

      linnet run configs/fashion.toml

      linnet run configs/fashion.toml --set train.epochs=3 --dry-run

      linnet run configs/fashion.toml --host https://kfp.example.org/pipeline
    """
    from linnet.automation.submission import start_pipeline, submit_pipeline
    from linnet.launch.client import temporary_host
    from linnet.registry.champion import current_actor

    console = terminal()
    loaded = load_config(config, parse_settings(settings or []))
    request = RunRequest(cause="person", actor=current_actor(), reason=reason, commit=runs.commit())
    if dry_run:
        from linnet.launch.dry_run import show_plan

        show_plan(lambda: start_pipeline("training", loaded, request), console)
        return
    with temporary_host(loaded.engine, host) as where:
        code = submit_to_end(lambda: submit_pipeline("training", loaded, request, where), where, console)
    raise typer.Exit(code)


def compile_command(
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "linnet-training.yaml"
    ),
    pipeline: Annotated[
        str, typer.Option("--pipeline", help="Which pipeline: training, labeling or monitoring.")
    ] = "training",
    settings: Settings = None,
) -> None:
    """Compile a pipeline to a file for Kubeflow Pipelines, with what the section `cluster` gives its pods.

    Examples:

      linnet compile configs/fashion.toml -o training.yaml

      linnet compile configs/fashion.toml --pipeline monitoring -o monitoring.yaml
    """
    from pipelines.compile import PIPELINES, compile_pipeline

    if pipeline not in PIPELINES:
        raise typer.BadParameter(f"{pipeline!r} is none of {', '.join(PIPELINES)}", param_hint="--pipeline")
    compile_pipeline(pipeline, load_config(config, parse_settings(settings or [])), output)
    terminal().print(f"wrote {output}: upload it to Kubeflow Pipelines, or run it here with `linnet run`")


def init(
    name: Annotated[str, typer.Argument(help="Name of the use case, such as digits.")],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="Folder of images, or a CSV or Parquet table of their paths and labels; or its address.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a config that exists.")] = False,
    layout: Annotated[
        Layout,
        typer.Option(help="How to read a folder, where several ways are possible; an export by its kind."),
    ] = "auto",
    preset: Annotated[
        Literal["fast", "balanced", "best"],
        typer.Option(help="How long training may take: for photos, fast fits a head on a frozen network."),
    ] = "fast",
) -> None:
    """Write a config for your own images, and show how they were understood.

    A folder has one sub-folder a class, perhaps within folders such as train and test.

    Examples:

      linnet init digits --data ~/images/digits

      linnet init shop --data shop.csv

      linnet init birds --data ~/photos/birds --preset balanced

      linnet init pets --data s3://bucket/pets
    """
    from linnet.data.init_config import config_for

    target = Path("configs") / f"{name}.toml"
    if target.exists() and not force:
        raise ConfigError(str(target), "exists already", "choose another name, or give --force")
    Config.parse({"name": name}, "config")
    with progress_bars() as progress:
        made = config_for(name, data, layout, preset, progress)
    target.parent.mkdir(exist_ok=True)
    target.write_text(made.text, "utf-8")
    load_config(target)
    console = terminal()
    console.print(made.told, soft_wrap=True)
    wrote = f"wrote {target}: review it, then run\n  linnet run {target}"
    console.print(wrote, soft_wrap=True)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Turns `section.field=value` words into a mapping; a value is TOML, or else a plain text."""
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(setting, "is not of the form section.field=value", "such as train.epochs=3")
        try:
            parsed[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key] = text
    return parsed


def submit_to_end(submit: Callable[[], Submitted], where: Host, console: Console) -> int:
    """Submits a run and follows it to its end: see `follow_to_end`; SIGTERM is answered at once."""
    from linnet.launch.follow import says_what_becomes_of

    with says_what_becomes_of(host="" if where.engine else where.url) as termination:
        submitted = submit()
        termination.sent(submitted.run_id)
        return follow_to_end(submitted, console)


def follow_to_end(submitted: Submitted, console: Console) -> int:
    """Follows a run that was submitted, shows its summary, and gives the command's exit status."""
    from linnet.launch.follow import follow, follow_remote

    if submitted.host.engine is not None:
        return end_of(follow(submitted, console), console)
    console.print(f"run {submitted.run_id} on {submitted.host.url}")
    return end_of_remote(submitted, follow_remote(submitted, console), console)


def end_of(record: RunRecord, console: Console) -> int:
    """Shows how a run of this machine ended; the command's exit status."""
    from linnet.commands.summary import show_summary

    show_summary(runs.runs_dir() / record.run_id, console)
    return _exit_code(record.state, [stage.exit_code for stage in record.stages])


def end_of_remote(submitted: Submitted, state: str, console: Console) -> int:
    """Shows how a run of another host ended; the command's exit status."""
    from linnet.report.remote import refusal

    why = refusal(submitted.host, submitted.run_id) if state == "SUCCEEDED" else ""
    told = f"rejected: {why}" if why else state.lower()
    console.print(f"run {submitted.run_id}: {told}")
    return EXIT_CODES["rejected"] if why else {"SUCCEEDED": 0, "CANCELED": 130}.get(state, 1)


def _exit_code(state: str, codes: list[int]) -> int:
    return EXIT_CODES.get(state, max(codes, default=1) or 1)
