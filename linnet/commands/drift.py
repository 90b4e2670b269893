"""`linnet drift ...` and `linnet skew ...`: what the traffic looks like, and whether it is served right."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from linnet.commands.chosen_config import ModelName, OptionalConfig, chosen_config
from linnet.commands.drift_show import show_drift, show_skew
from linnet.commands.drift_simulate import Name, simulate
from linnet.commands.terminal import progress_bars, terminal
from linnet.config import MonitoringConfig, ServingConfig, load_config
from linnet.errors import ServingError
from linnet.registry.connect import Champion, find_champion
from linnet.run.model_config import model_config
from linnet.storage.paths import prediction_log_dir, state_dir

drift_app = typer.Typer(help="Compare traffic with what the champion was trained on.", no_args_is_help=True)
skew_app = typer.Typer(help="Compute again what was served.", no_args_is_help=True)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="A config, for its model, registry and monitoring settings.")
]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="Look back this many minutes; default: to the first row.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the records as JSON.")]


@drift_app.command("report")
def report(
    name: Name = "",
    config: ConfigPath = None,
    minutes: Minutes = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the page and the records.",
            show_default="monitoring/report in the state folder",
        ),
    ] = None,
    evidently: Annotated[bool, typer.Option("--evidently", help="Write Evidently's view as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what the champion served with its reference: features, classes, embeddings, cohorts.

    Writes a page with pictures. It looks at any stretch of time and is not counted among the windows
    that the recurring monitoring judges. Exit status 3: drift was found.

    Examples:

      linnet drift report --minutes 60

      linnet drift report --config configs/fashion.toml -o report --evidently
    """
    from linnet.monitoring.history import earlier_performance, past_p_values, segment_baseline
    from linnet.monitoring.measure import measure_drift
    from linnet.monitoring.performance import measure_performance
    from linnet.monitoring.publish import publish

    champion, monitoring, _ = _settings(name, config)
    output = output or state_dir() / "monitoring" / "report"
    with _rows(champion, monitoring, minutes, all_images=False) as window, progress_bars() as progress:
        past = past_p_values(champion.name, champion.version, datetime.now(UTC))
        baseline = segment_baseline(champion.name, champion.version, datetime.now(UTC))
        drift = measure_drift(window, champion.package, monitoring, past, output, progress, baseline)
        earlier = earlier_performance(champion.name, drift.window.start)
        performance = measure_performance(
            window, champion.package, _log(), drift, monitoring, output, earlier
        )
        publish(window, champion.package, [output], output, evidently or None, kept=False)
    if as_json:
        typer.echo(json.dumps([drift.model_dump(mode="json"), performance.model_dump(mode="json")]))
    else:
        show_drift(drift, performance, output / "report.html")
    raise typer.Exit(3 if drift.verdict == "drift" else 0)


drift_app.command("simulate")(simulate)


@drift_app.command("watch")
def watch(
    config: OptionalConfig = None,
    name: ModelName = "",
    stop: Annotated[bool, typer.Option("--stop", help="Do not watch any more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show when it would look.")] = False,
) -> None:
    """Look at every window by itself, and let the policy decide after each whether to retrain.

    Makes a recurring run of the monitoring pipeline, on this machine's engine (`linnet up` keeps it
    running) or on the cluster that the config names. Asking again replaces it.

    Examples:

      linnet drift watch

      linnet drift watch configs/fashion.toml --stop
    """
    from linnet.automation import monitoring_schedule as watching
    from linnet.launch.client import host_of
    from linnet.registry.champion import current_actor

    loaded, console = chosen_config(config, name), terminal()
    planned = watching.plan(loaded)
    minutes = planned.every.total_seconds() / 60
    when = f"every {minutes:g} minutes, first at {planned.first:%Y-%m-%d %H:%M:%S} UTC"
    if dry_run:
        console.print(f"would look at {loaded.model_name} {when}")
    elif stop:
        gone = watching.unwatch(loaded, host_of(loaded.engine))
        console.print(f"{loaded.model_name} {'is not watched any more' if gone else 'was not watched'}")
    else:
        watching.watch(loaded, host_of(loaded.engine), current_actor())
        console.print(f"looks at {loaded.model_name} {when}")


@skew_app.command("audit")
def audit(
    name: Name = "",
    config: ConfigPath = None,
    minutes: Minutes = None,
    known: Annotated[
        bool,
        typer.Option(
            "--require-known-images",
            "--known",
            help="All images are of the dataset: unknown pixels are a difference.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every served row again offline and compare it bit by bit.

    Features come from the feature store by a point-in-time join as of the moment of serving; kept images
    are decoded and computed again; libraries are compared with those the package was proved with. Exit
    status 3: something differs, or nothing could be compared.

    Examples:

      linnet skew audit

      linnet skew audit --config configs/fashion.toml --minutes 60 --require-known-images
    """
    from linnet.features.skew import audit_window
    from linnet.records import ModelPackage

    champion, monitoring, serving = _settings(name, config)
    package = ModelPackage.load(champion.package / "package.json")
    with (
        _rows(champion, monitoring, minutes, all_images=True) as window,
        progress_bars() as progress,
        tempfile.TemporaryDirectory() as out,
    ):
        redacted = bool(serving.log_image_pixelate)
        found = audit_window(window, champion.package, package.name, Path(out), known, redacted, progress)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        show_skew(found)
    raise typer.Exit(0 if found.verdict == "pass" else 3)


def _settings(name: str, path: Path | None) -> tuple[Champion, MonitoringConfig, ServingConfig]:
    if path is None:
        champion = find_champion(name)
        found = model_config(champion.name)
        config = found.config
        if found.doubt:
            terminal(stderr=True).print(found.doubt, style="yellow", soft_wrap=True)
    else:
        config = load_config(path)
        champion = find_champion(name or config.model_name, config.registry)
    return champion, config.monitoring, config.serving


def _log() -> Path:
    return prediction_log_dir()


@contextlib.contextmanager
def _rows(
    champion: Champion, monitoring: MonitoringConfig, minutes: float | None, *, all_images: bool
) -> Iterator[Path]:
    """A window of the champion's rows up to now, in a folder that is gone afterwards."""
    from linnet.monitoring.log_reader import first_and_last
    from linnet.monitoring.window import write_window

    span = first_and_last(_log())
    if span is None:
        raise ServingError(f"{_log()}: nothing was served yet; `linnet up` starts a server, then ask it")
    end = datetime.now(UTC)
    start = span[0] if minutes is None else end - timedelta(minutes=minutes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "window"
        write_window(_log(), champion.name, champion.version, start, end, monitoring, folder, all_images)
        yield folder
