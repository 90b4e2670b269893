"""The command line: wires the commands, and turns errors into one message and an exit status."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from linnet.commands import (
    alerts,
    cache,
    console,
    data,
    diagnose,
    drift,
    keys,
    labels,
    models,
    report,
    retraining,
    rollout,
    runs,
    serve,
    training,
    up,
)
from linnet.errors import LinnetError

app = typer.Typer(
    help="Labelled images to a champion CNN: validated, gated, registered, canaried and served.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with `linnet run configs/fashion.toml`, or `linnet init NAME --data FOLDER` "
    "for images of your own. `--debug` anywhere shows the traceback of an error.",
)
app.command("run")(training.run)
app.command("submit")(runs.submit)
app.command("init")(training.init)
app.command("compile")(training.compile_command)
app.command("console")(console.console)
app.command("report")(report.report)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("predict")(serve.predict)
app.command("diagnose")(diagnose.diagnose)
app.add_typer(models.app, name="models")
app.add_typer(rollout.app, name="rollout")
app.add_typer(keys.app, name="keys")
app.add_typer(labels.app, name="labels")
app.add_typer(drift.drift_app, name="drift")
app.add_typer(drift.skew_app, name="skew")
app.add_typer(retraining.app, name="retraining")
app.add_typer(alerts.app, name="alerts")
app.add_typer(runs.runs_app, name="runs")
app.add_typer(data.data_app, name="data")
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Entry point of the `linnet` command."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        _run(arguments)
    except SystemExit as stop:
        # typer turns Ctrl-C into a bare status; a person sees that it was understood.
        if not isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):
            raise
        Console(stderr=True).print("interrupted")
        raise
    except LinnetError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        from linnet.storage.files import translate_storage

        Console(stderr=True).print(f"[bold red]error:[/] {_plain(translate_storage(error))}", soft_wrap=True)
        sys.exit(1)


def _run(arguments: list[str]) -> None:
    """Runs a command; the state folder is closed to other users before it, and after it made one."""
    from linnet.storage.paths import state_dir
    from linnet.storage.private import close_to_others

    close_to_others(state_dir())
    try:
        app(args=arguments, standalone_mode=True)
    finally:
        close_to_others(state_dir())


def _plain(error: Exception) -> str:
    """The message without anything that rich would take for markup."""
    return str(error).replace("[", "\\[")
