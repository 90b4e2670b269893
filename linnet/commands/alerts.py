"""`linnet alerts ...`: rules, routes and dashboards from the service levels of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.commands.terminal import terminal
from linnet.config import load_config
from linnet.errors import ConfigError

app = typer.Typer(help="Service levels as Prometheus rules and Grafana dashboards.", no_args_is_help=True)

ConfigPath = Annotated[Path, typer.Argument(help="A config file, such as configs/fashion.toml.")]


@app.command("generate")
def generate(
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("deploy"),
    target: Annotated[
        list[str] | None, typer.Option("--target", help="host:port of a server to scrape; repeatable.")
    ] = None,
    monitor: Annotated[
        str, typer.Option(help="host:port of the engine, which tells what monitoring found.")
    ] = "127.0.0.1:8888",
    alertmanager: Annotated[str, typer.Option(help="host:port of Alertmanager.")] = "127.0.0.1:9093",
    interval: Annotated[str, typer.Option(help="How often Prometheus scrapes and evaluates.")] = "15s",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
) -> None:
    """Write Prometheus rules, Alertmanager routes and three Grafana dashboards from a config.

    Files that stand there are replaced; `git diff` shows what changed.

    Examples:

      linnet alerts generate configs/fashion.toml -o deploy

      linnet alerts generate configs/fashion.toml -o /etc/linnet --target 10.0.0.4:8090 --dry-run
    """
    from linnet.alerting.files import alert_files, write_alert_files

    loaded = load_config(config)
    targets = target or [f"{loaded.serving.host}:{loaded.serving.port}"]
    for address in (*targets, monitor, alertmanager):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or "/" in address:
            raise ConfigError("--target", f"'{address}' is not host:port", "such as 127.0.0.1:8090")
    if not interval[:-1].isdigit() or interval[-1:] not in ("s", "m"):
        raise ConfigError("--interval", f"'{interval}' is not a time", "such as 15s or 1m")
    files = alert_files(loaded.name, loaded.service_levels, targets, monitor, interval, alertmanager)
    if not dry_run:
        write_alert_files(files, output)
    console = terminal()
    for name in files:
        console.print(f"{'would write' if dry_run else 'wrote'} {output / name}")
    for kind in ("page", "ticket"):
        if not getattr(loaded.service_levels, f"{kind}_webhook"):
            console.print(f"nobody gets a {kind}: set service_levels.{kind}_webhook", style="yellow")
