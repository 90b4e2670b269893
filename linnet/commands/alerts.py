"""`linnet alerts ...`: rules, routes and dashboards from the service levels of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from linnet.commands.terminal import terminal
from linnet.config import load_config
from linnet.errors import ConfigError

app = typer.Typer(help="Service levels as Prometheus rules and Grafana dashboards.", no_args_is_help=True)

_KINDS: tuple[Literal["page", "ticket"], ...] = ("page", "ticket")

ConfigPaths = Annotated[
    list[Path], typer.Argument(help="Config files, a model each, such as configs/fashion.toml.")
]


@app.command("generate")
def generate(
    config: ConfigPaths,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("deploy"),
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="host:port of a server to scrape; repeatable.", show_default="as configured"
        ),
    ] = None,
    monitor: Annotated[
        str, typer.Option(help="host:port of the engine, which tells what monitoring found.")
    ] = "127.0.0.1:8888",
    alertmanager: Annotated[str, typer.Option(help="host:port of Alertmanager.")] = "127.0.0.1:9093",
    interval: Annotated[str, typer.Option(help="How often Prometheus scrapes and evaluates.")] = "15s",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Write Prometheus rules, Alertmanager routes and three Grafana dashboards a model from configs.

    Files that stand there are replaced; `git diff` shows what changed. Name the configs of all models that
    one Prometheus watches: each gets rules, a scrape job, routes and receivers of its own.

    Examples:

      linnet alerts generate configs/fashion.toml -o deploy

      linnet alerts generate configs/fashion.toml configs/digits.toml --target 10.0.0.4:8090 --dry-run
    """
    from linnet.alerting.files import AlertedModel, alert_files, write_alert_files
    from linnet.alerting.receivers import is_told, secrets_of

    models: dict[str, AlertedModel] = {}
    for path in config:
        loaded = load_config(path)
        if loaded.model_name in models:
            raise ConfigError(
                str(path), f"model {loaded.model_name} is another config's, too", "name one a model"
            )
        served = target or [f"{loaded.serving.host}:{loaded.serving.port}"]
        models[loaded.model_name] = AlertedModel(loaded.service_levels, tuple(served))
    for address in (*(one for model in models.values() for one in model.targets), monitor, alertmanager):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or "/" in address:
            raise ConfigError("--target", f"'{address}' is not host:port", "such as 127.0.0.1:8090")
    if not interval[:-1].isdigit() or interval[-1:] not in ("s", "m"):
        raise ConfigError("--interval", f"'{interval}' is not a time", "such as 15s or 1m")
    files = alert_files(models, monitor, interval, alertmanager)
    if not dry_run:
        write_alert_files(files, output)
    console = terminal()
    for name in files:
        console.print(f"{'would write' if dry_run else 'wrote'} {output / name}")
    for model, kind in ((model, kind) for model in models for kind in _KINDS):
        if not is_told(kind, models[model].levels):
            said = f"nobody gets a {kind} of {model}: set service_levels.{kind}_webhook, {kind}_slack or"
            console.print(f"{said} {kind}_email", style="yellow", soft_wrap=True)
    for name in sorted({one for model in models.values() for one in secrets_of(model.levels)}):
        console.print(f"put the secret into {output / 'alertmanager' / name}, readable by Alertmanager alone")
