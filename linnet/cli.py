"""The command line: wires the commands, and turns errors into one message and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
import typer.main
from rich.text import Text

from linnet import __version__
from linnet.commands import (
    alerts,
    backup,
    cache,
    console,
    data,
    diagnose,
    drift,
    keys,
    labels,
    models,
    predict,
    report,
    requests,
    retraining,
    rollout,
    runs,
    runs_remark,
    status,
    training,
    tune,
    up,
)
from linnet.commands.terminal import terminal
from linnet.errors import LinnetError

app = typer.Typer(
    help="Labelled images to a champion CNN: validated, gated, registered, canaried and served.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with `linnet run configs/fashion.toml`, or `linnet init NAME --data FOLDER` "
    "for images of your own. `--debug` anywhere shows the traceback of an error.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"linnet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Labelled images to a champion CNN: validated, gated, registered, canaried and served."""


app.command("run")(training.run)
app.command("tune")(tune.tune)
app.command("submit")(runs.submit)
app.command("init")(training.init)
app.command("compile")(training.compile_command)
app.command("console")(console.console)
app.command("report")(report.report)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("predict")(predict.predict)
app.command("status")(status.status)
app.command("diagnose")(diagnose.diagnose)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(models.app, name="models")
app.add_typer(rollout.app, name="rollout")
app.add_typer(keys.app, name="keys")
app.add_typer(requests.app, name="requests")
app.add_typer(labels.app, name="labels")
app.add_typer(drift.drift_app, name="drift")
app.add_typer(drift.skew_app, name="skew")
app.add_typer(retraining.app, name="retraining")
app.add_typer(alerts.app, name="alerts")
runs.runs_app.command("remark")(runs_remark.runs_remark)
app.add_typer(runs.runs_app, name="runs")
app.add_typer(data.data_app, name="data")
app.add_typer(cache.app, name="cache")


def command_line() -> Any:
    """The click command behind `app`, whose help reads as people know it: `--dry-run`, `CONFIG`.

    Typer writes the type behind a switch, which takes no value (`--dry-run <bool>`), and the name of an
    argument in braces; it has no setting for either.
    """
    command = typer.main.get_command(app)
    groups: list[Any] = [command]
    for group in groups:
        groups += getattr(group, "commands", {}).values()
        for parameter in group.get_params(typer.Context(group)):  # with --help, which is none of `params`
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            elif parameter.param_type_name == "argument":
                parameter.metavar = parameter.metavar or parameter.name.upper()
                dots = "..." if parameter.nargs != 1 else ""
                usage = parameter.metavar + dots if parameter.required else f"[{parameter.metavar}]{dots}"
                parameter._usage_display_name = usage.__str__
    return command


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
        terminal(stderr=True).print("interrupted")
        raise
    except LinnetError as error:
        if debug:
            raise
        _show_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        from linnet.storage.files import translate_storage

        _show_error(translate_storage(error))
        sys.exit(1)


def _show_error(error: Exception) -> None:
    terminal(stderr=True).print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)


def _run(arguments: list[str]) -> None:
    """Runs a command; the state folder is closed to other users before it, and after it made one."""
    from linnet.storage.paths import state_dir
    from linnet.storage.private import close_to_others

    close_to_others(state_dir())
    try:
        command_line()(args=arguments, standalone_mode=True)
    finally:
        close_to_others(state_dir())
