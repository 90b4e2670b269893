"""`linnet labels ...`: hand samples to people in Label Studio, and take their answers back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from linnet.commands.labels_show import show_status, summary_of, table_of_reasons
from linnet.commands.terminal import progress_bars, terminal
from linnet.config import Config, load_config
from linnet.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from linnet.automation.label_run import EngineTrigger
    from linnet.labels.label_studio import LabelStudio
    from linnet.labels.status import LabelStatus

app = typer.Typer(
    help="Have people label samples in Label Studio, and collect their answers.", no_args_is_help=True
)

ConfigPath = Annotated[Path, typer.Argument(help="The use case's config, such as configs/fashion.toml.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0: the one of last time, or a free one.")]


@app.command("up")
def up(
    port: Port = 0,
    show_password: Annotated[bool, typer.Option("--show-password", help="Print the password.")] = False,
) -> None:
    """Install Label Studio for this machine, once, and start it on loopback.

    User, password and token are generated and kept in .linnet/label-studio/server.json, which only you
    can read. Projects stay when it is stopped.

    Examples:

      linnet labels up

      linnet labels up --port 8080 --show-password
    """
    from linnet.labels import local_label_studio

    console = terminal()
    with console.status("Label Studio ...") as shown:
        found = local_label_studio.up(port, shown.update)
    console.print(f"Label Studio runs at {found.url} (process {found.pid}); `linnet labels down` stops it")
    place = local_label_studio.folder() / "server.json"
    password = found.password if show_password else f"in {place} (or --show-password)"
    console.print(f"  user      {found.user}\n  password  {password}", soft_wrap=True)


@app.command("down")
def down() -> None:
    """Stop the Label Studio server that `linnet labels up` started; its projects stay."""
    from linnet.labels import local_label_studio

    typer.echo("stopped" if local_label_studio.down() else "no Label Studio server runs here")


@app.command("export")
def export_command(config: ConfigPath, dry_run: DryRun = False) -> None:
    """Put the samples that runs have asked about before people; twice makes no second task.

    Examples:

      linnet labels export configs/fashion.toml --dry-run

      linnet labels export configs/fashion.toml
    """
    from linnet.labels.export import export, project_title
    from linnet.labels.queue import question_of
    from linnet.labels.rounds import Rounds

    console, loaded = terminal(), load_config(config)
    queued = Rounds(loaded.name).unexported()
    if dry_run:
        title = project_title(loaded.name, loaded.labels)
        console.print(f"would export {len(queued)} tasks to the project '{title}':")
        console.print(table_of_reasons([request.reasons[0] for request in queued]))
        return
    question = question_of(loaded.name)
    with _connected(loaded) as server, progress_bars(console) as progress:
        done = export(loaded.name, server, loaded.labels, question, progress)
    again = f", {done.found} were there already" if done.found else ""
    console.print(f"{done.new} new tasks{again}: {server.url}/projects/{done.project}/data")


@app.command("collect")
def collect_command(
    config: ConfigPath,
    full: Annotated[
        bool, typer.Option("--full", help="Look at every task, not only at changed ones.")
    ] = False,
    run: Annotated[bool, typer.Option("--run", help="Start the training run of a complete round.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Bring in what people answered since the last time.

    A complete round becomes a label set (a `.dvc` file); with --run, or under `linnet labels serve`, it
    also causes one training run.

    Examples:

      linnet labels collect configs/fashion.toml

      linnet labels collect configs/fashion.toml --full --run
    """
    from linnet.labels.close_rounds import settle
    from linnet.labels.queue import question_of
    from linnet.labels.reconcile import pull

    console, loaded = terminal(), load_config(config)
    if dry_run:
        with _connected(loaded) as server:
            server.check()
        console.print(f"would collect from {server.url}; {_status(loaded).open} tasks are open")
        return
    question = question_of(loaded.name)
    with _connected(loaded) as server, progress_bars(console) as progress:
        found = pull(loaded.name, server, loaded.labels, question, full, progress)
    console.print(summary_of(found))

    def told(run_id: str) -> None:
        console.print(f"a labelling round is complete: run {run_id} trains with its labels")

    settle(loaded.name, _trigger(loaded) if run else None, told)


@app.command("round")
def round_command(
    config: ConfigPath,
    host: Annotated[
        str, typer.Option(help="Address of a Kubeflow Pipelines API; else `engine.host`, or this machine.")
    ] = "",
) -> None:
    """Run the labelling pipeline alone: collect answers, and ask about what the newest model doubts.

    Example:

      linnet labels round configs/fashion.toml
    """
    from linnet.automation.submission import submit_pipeline
    from linnet.launch.client import temporary_host
    from linnet.launch.follow import follow, says_what_becomes_of
    from linnet.records import RunRequest
    from linnet.registry.champion import current_actor

    loaded, console = load_config(config), terminal()
    request = RunRequest(cause="person", actor=current_actor(), reason="a labelling round")
    with (
        temporary_host(loaded.engine, host) as where,
        says_what_becomes_of(host="" if where.engine else where.url) as termination,
    ):
        sent = submit_pipeline("labeling", loaded, request, where)
        termination.sent(sent.run_id)
        if where.engine is None:
            console.print(f"run {sent.run_id} on {where.url}")
            return
        record = follow(sent, console)
    if record.state != "succeeded":
        raise RunError(f"run {record.run_id} {record.state}: {record.error}")


@app.command("status")
def status_command(config: ConfigPath) -> None:
    """Show queue, answers, latency, agreement, annotators and rounds.

    Example:

      linnet labels status configs/fashion.toml
    """
    loaded = load_config(config)
    show_status(_status(loaded), terminal())


@app.command("serve")
def serve_command(
    config: ConfigPath,
    port: Annotated[int, typer.Option(help="Port for webhooks and metrics; 0 takes a free one.")] = 8089,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seconds: Annotated[
        float, typer.Option("--every", help="Seconds between looks without a webhook.")
    ] = 30.0,
    run: Annotated[bool, typer.Option(help="Start the training run of a complete round.")] = True,
) -> None:
    """Collect answers as they come: takes Label Studio's webhooks, polls as well, and starts training runs.

    Prometheus finds labelling latency, backlog and agreement at /labels/metrics.

    Examples:

      linnet labels serve configs/fashion.toml

      linnet labels serve configs/fashion.toml --port 9100 --every 10 --no-run
    """
    from linnet.automation.label_service import run_label_service

    console = terminal()

    def told(text: str) -> None:
        console.print(text, soft_wrap=True)

    run_label_service(load_config(config), host, port, told, seconds, run)


@app.command("snapshot")
@app.command("cut", hidden=True)  # the name before
def snapshot_command(
    config: ConfigPath,
    as_of: Annotated[str, typer.Option(help="Labels known at this time (ISO 8601); empty: now.")] = "",
) -> None:
    """Freeze the labels as a DVC version that a run can name (labels.version).

    Examples:

      linnet labels snapshot configs/fashion.toml

      linnet labels snapshot configs/fashion.toml --as-of 2026-11-01T00:00:00Z
    """
    from linnet.labels.label_set import digest_of, snapshot

    file = snapshot(load_config(config).name, _moment(as_of))
    terminal().print(
        f"{file}\n  digest {digest_of(file)}; train with it: --set labels.version={file}", soft_wrap=True
    )


@app.command("show")
def show(config: ConfigPath, sample: Annotated[str, typer.Argument(help="A sample's id.")]) -> None:
    """Show every answer about one sample: who, when, which round asked, and why.

    Example:

      linnet labels show configs/fashion.toml 0a1b2c...
    """
    from linnet.labels.table import LabelTable

    rows = LabelTable(load_config(config).name).history(sample)
    if not rows:
        raise DataError(f"sample '{sample}'", "nobody answered about it", "see `linnet labels status`")
    table = Table("known since (UTC)", "answered (UTC)", "annotator", "answer", "round", "asked because")
    for row in rows:
        times = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (row.created_at, row.labelled_at))
        said = row.label or row.status.replace("_", " ") + (f" ({row.comment})" if row.comment else "")
        table.add_row(*times, row.annotator, said, row.batch, row.reason)
    terminal().print(table)


@contextmanager
def _connected(config: Config) -> Iterator[LabelStudio]:
    from linnet.labels.connect import connect

    with connect(config.labels) as server:
        yield server


def _trigger(config: Config) -> EngineTrigger:
    from linnet.automation.label_run import EngineTrigger

    return EngineTrigger(config)


def _status(config: Config) -> LabelStatus:
    from linnet.labels.status import status

    return status(config.name)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            "--as-of", f"'{text}' is not an ISO 8601 time", "such as 2026-01-31T12:00:00Z"
        ) from error
    if moment.tzinfo is None:
        raise ConfigError("--as-of", f"'{text}' has no time zone", "such as 2026-01-31T12:00:00Z")
    return moment
