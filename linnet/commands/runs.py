"""`linnet submit` and `linnet runs ...`: runs of this machine's engine or of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from linnet.commands.terminal import terminal
from linnet.commands.training import (
    ConfigPath,
    Settings,
    end_of,
    end_of_remote,
    follow_to_end,
    parse_settings,
    submit_to_end,
)
from linnet.config import EngineConfig, load_config
from linnet.errors import RegistryError, RunError
from linnet.records import RunRequest
from linnet.run import runs
from linnet.run.log import own_lines
from linnet.storage.files import listed

runs_app = typer.Typer(help="Look at runs, end them, and let them go on.", no_args_is_help=True)

Cause = Literal["person", "merge", "drift", "labels", "schedule"]
RunId = Annotated[str, typer.Argument(help="A run's id or its beginning; empty: the newest run.")]
OneRun = Annotated[str, typer.Argument(help="A run's id; here its beginning is enough.")]
HostName = Annotated[
    str, typer.Option("--host", help="Address of a Kubeflow Pipelines API; without it this machine's engine.")
]


def submit(
    config: ConfigPath,
    settings: Settings = None,
    host: HostName = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run to its end, as `linnet run` does.")
    ] = False,
    key: Annotated[str, typer.Option(help="The same key means the same run, however often it is sent.")] = "",
    cause: Annotated[Cause, typer.Option(help="What triggered it; stands in the run's record.")] = "merge",
    commit: Annotated[str, typer.Option(help="The commit that it is run for; else the working tree's.")] = "",
    reason: Annotated[str, typer.Option(help="Why; stands in the run's record.")] = "",
) -> None:
    """Submit the training pipeline and print the run's id: for CI and schedulers.

    Exit status with --wait as of `linnet run`; without it 0 once the run was taken in.

    Examples:

      linnet submit configs/fashion.toml --key "$GITHUB_SHA" --commit "$GITHUB_SHA"

      linnet submit configs/fashion.toml --host https://kfp.example.org/pipeline --wait
    """
    from linnet.automation.submission import submit_pipeline
    from linnet.launch.client import host_of, temporary_host
    from linnet.registry.champion import current_actor

    loaded = load_config(config, parse_settings(settings or []))
    request = RunRequest(cause=cause, actor=current_actor(), reason=reason, commit=commit or runs.commit())
    if not wait:  # an engine that is started here ends when the run has ended
        typer.echo(submit_pipeline("training", loaded, request, host_of(loaded.engine, host), key).run_id)
        return
    with temporary_host(loaded.engine, host) as where:
        code = submit_to_end(
            lambda: submit_pipeline("training", loaded, request, where, key), where, terminal()
        )
    raise typer.Exit(code)


@runs_app.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(help="How many to show.")] = 20, host: HostName = ""
) -> None:
    """List runs, the newest first."""
    rows: list[tuple[str, str, str, datetime, datetime | None]] = []
    if host:
        from linnet.launch.listing import newest_runs

        with _client(host) as client:
            found_there, more = newest_runs(client, limit)
        for run in found_there:
            rows.append((run.run_id, str(run.state).lower(), "", run.created_at, run.finished_at))
    else:
        found = [record for _, record in islice(runs.readable(), limit + 1)]
        more = len(found) > limit
        for record in found[:limit]:
            facts = record.state, record.request.cause, record.started_at, record.ended_at
            rows.append((record.run_id, *facts))
    _print_runs(rows)
    if more:
        terminal().print(f"the newest {len(rows)}; --limit shows more", style="dim")


def _print_runs(rows: list[tuple[str, str, str, datetime, datetime | None]]) -> None:
    """One line per run, its id first and whole, whatever the width of the terminal, to be copied."""
    console = terminal()
    width = max((len(row[0]) for row in rows), default=3)
    console.print(
        f"{'run':<{width}}  state        cause     started (UTC)     seconds", style="bold", soft_wrap=True
    )
    for run_id, state, cause, began, ended in rows:
        took = f"{(ended - began).total_seconds():.0f}" if ended else ""
        line = f"{run_id:<{width}}  {state:<11}  {cause:<8}  {began:%Y-%m-%d %H:%M}  {took:>7}"
        console.print(line.rstrip(), soft_wrap=True)


@runs_app.command("show")
def runs_show(run_id: RunId = "", host: HostName = "") -> None:
    """Show a run again: who asked for it, what it was made of and cost, its stages, gates and canary.

    Of another host's run its tasks are shown.
    """
    from linnet.commands.summary import show_origin, show_summary

    if not host:
        folder, console = runs.find(run_id), terminal()
        show_origin(folder, console)
        show_summary(folder, console)
        return
    with _client(host) as client:
        run = client.get_run(run_id)
    table = Table("task", "state", "error", title=f"run {run.run_id}: {str(run.state).lower()}")
    for task in (run.run_details.task_details or []) if run.run_details else []:
        table.add_row(task.display_name, str(task.state).lower(), task.error.message if task.error else "")
    terminal().print(table)


@runs_app.command("compare")
def runs_compare(first: OneRun, second: OneRun) -> None:
    """Show two runs side by side: the settings that differ, the metrics, and the gates.

    The console draws the learning curves as well, on its page Compare.

    Example:

      linnet runs compare 20261124-101500 20261125-093000
    """
    from linnet.commands.summary import show_comparison
    from linnet.report.evidence import read_evidence

    show_comparison(read_evidence(runs.find(first)), read_evidence(runs.find(second)), terminal())


@runs_app.command("mirror")
def runs_mirror() -> None:
    """Write the records of ended runs to MLflow, where that did not happen yet.

    Example:

      linnet runs mirror
    """
    from linnet.registry.run_mirror import mirror_pending

    done, problems = mirror_pending()
    typer.echo(f"mirrored {len(done)} run(s) to MLflow{': ' if done else ''}{', '.join(done)}")
    if problems:
        raise RegistryError("\n".join(problems))


@runs_app.command("log")
def runs_log(
    run_id: RunId = "",
    task: Annotated[str, typer.Option(help="Only this task's output, such as train.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="With all that KFP's executor says of itself.")] = False,
) -> None:
    """Print what a run's steps said.

    Example:

      linnet runs log --task train
    """
    folder = runs.find(run_id)
    if not task:
        _print_log([folder / "log.txt"], raw)
        return
    named = task.replace("_", "-")
    found = [file for file in listed(folder / "logs", "*.txt") if file.stem.endswith(named)]
    if not found:
        known = ", ".join(sorted(file.stem.rpartition(".")[2] for file in listed(folder / "logs", "*.txt")))
        raise RunError(
            f"the run {folder.name} has no output of a task {task!r} (there is: {known or 'none'})"
        )
    _print_log(sorted(found), raw)


def _print_log(files: list[Path], raw: bool) -> None:
    for file in files:
        if not file.exists():
            continue
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines if raw else own_lines(lines):
                typer.echo(line, nl=False)


@runs_app.command("follow")
def runs_follow(run_id: RunId = "", host: HostName = "") -> None:
    """Follow a run that somebody else started, as `linnet run` does; Ctrl-C stops following, not the run.

    The exit status is the run's, as of `linnet run`.

    Example:

      linnet runs follow
    """
    from linnet.launch.client import Host, host_of
    from linnet.launch.follow import watch, watch_remote
    from linnet.launch.submit import Submitted

    console = terminal()
    if not host:
        code = end_of(watch(runs.find(run_id), console), console)
    else:
        where: Host = host_of(EngineConfig(), host)
        submitted = Submitted(where, where.client(), run_id)
        code = end_of_remote(submitted, watch_remote(submitted, console), console)
    raise typer.Exit(code)


@runs_app.command("terminate")
def runs_terminate(run_id: OneRun, host: HostName = "") -> None:
    """End a run that waits or is under way; within five seconds here."""
    _act(run_id, host, lambda client, run: client.terminate_run(run), "termination requested")


@runs_app.command("resume")
def runs_resume(
    run_id: RunId = "",
    host: HostName = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")] = True,
) -> None:
    """Let a run go on that failed, was terminated or lost its process: finished tasks are not run again.

    Example:

      linnet runs resume
    """
    from linnet.launch.client import Host, host_of, temporary_host, translate_api_errors
    from linnet.launch.submit import Submitted

    def go_on(where: Host) -> Submitted:
        client, run = where.client(), run_id if host else runs.find(run_id).name
        with translate_api_errors(where.url):
            client.runs.run_service_retry_run(run_id=run)
        return Submitted(where, client, run)

    if not wait:
        typer.echo(f"{go_on(host_of(EngineConfig(), host)).run_id} resumed")
        return
    with temporary_host(EngineConfig(), host) as where:
        code = follow_to_end(go_on(where), terminal())
    raise typer.Exit(code)


@runs_app.command("archive")
def runs_archive(run_id: OneRun, host: HostName = "") -> None:
    """Put an ended run away; `unarchive` brings it back."""
    _act(run_id, host, lambda client, run: client.archive_run(run), "archived")


@runs_app.command("unarchive")
def runs_unarchive(run_id: OneRun, host: HostName = "") -> None:
    """Bring an archived run back."""
    _act(run_id, host, lambda client, run: client.unarchive_run(run), "unarchived")


@runs_app.command("delete")
def runs_delete(run_id: OneRun, host: HostName = "") -> None:
    """Forget an ended run; here its folder stays, as later runs may link to its files."""
    _act(run_id, host, lambda client, run: client.delete_run(run), "forgotten")


@contextmanager
def _client(host: str) -> Iterator[Any]:
    from linnet.launch.client import temporary_host, translate_api_errors

    with temporary_host(EngineConfig(), host) as where:
        client = where.client()
        with translate_api_errors(where.url):
            yield client


def _act(run_id: str, host: str, action: Callable[[Any, str], object], done: str) -> None:
    run = run_id if host else runs.find(run_id).name
    with _client(host) as client:
        action(client, run)
    typer.echo(f"{run}: {done}")
