"""`linnet drift ...` and `linnet skew ...`: what the traffic looks like, and whether it is served right."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from linnet.commands.chosen_config import ModelName, OptionalConfig, chosen_config
from linnet.commands.drift_show import show_drift, show_skew
from linnet.commands.terminal import progress_bars, terminal
from linnet.config import MonitoringConfig, ServingConfig, load_config
from linnet.errors import DataError, ServingError
from linnet.process.model_server import ServerState
from linnet.registry.connect import Champion, find_champion, several_models
from linnet.run.model_config import model_config
from linnet.storage.paths import prediction_log_dir, server_state_file, state_dir

if TYPE_CHECKING:
    from linnet.monitoring.simulate import ImagePool
    from linnet.serving.client import ServerClient

drift_app = typer.Typer(help="Compare traffic with what the champion was trained on.", no_args_is_help=True)
skew_app = typer.Typer(help="Compute again what was served.", no_args_is_help=True)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="A config, for its model, registry and monitoring settings.")
]
Name = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="Look back so many minutes; default: to the first row.")
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
    from linnet.monitoring.history import past_p_values
    from linnet.monitoring.measure import measure_drift
    from linnet.monitoring.performance import measure_performance
    from linnet.monitoring.publish import publish

    champion, monitoring, _ = _settings(name, config)
    output = output or state_dir() / "monitoring" / "report"
    with _rows(champion, monitoring, minutes, all_images=False) as window, progress_bars() as progress:
        past = past_p_values(champion.name, champion.version, datetime.now(UTC))
        drift = measure_drift(window, champion.package, monitoring, past, output, progress)
        performance = measure_performance(window, champion.package, _log(), drift, monitoring, output)
        publish(window, champion.package, [output], output, evidently or None, kept=False)
    if as_json:
        typer.echo(json.dumps([drift.model_dump(mode="json"), performance.model_dump(mode="json")]))
    else:
        show_drift(drift, performance, output / "report.html")
    raise typer.Exit(3 if drift.verdict == "drift" else 0)


@drift_app.command("simulate")
def simulate(
    kind: Annotated[list[str], typer.Option("--kind", help="What changes; repeatable, one after another.")],
    name: Name = "",
    severity: Annotated[float, typer.Option(help="0: nothing changes, 1: the largest change.")] = 0.5,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Requests a second.")] = 50.0,
    count: Annotated[int, typer.Option(min=1, help="How many requests.")] = 1000,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.")] = None,
    feedback: Annotated[bool, typer.Option("--feedback", help="Send the true labels afterwards.")] = False,
    training_set: Annotated[
        Path | None,
        typer.Option(
            help="Where the images come from: the production split of a training set.",
            show_default="that of the model's newest run",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only write a picture of the stream.")] = False,
) -> None:
    """Play real images, changed as the world might change them, against the server that `linnet up` started.

    Kinds: blur, noise, darken, invert (images); class-mix, label-shift (how often each class comes);
    new-class (handwritten digits among them); relabel (what people call them; shows with --feedback).

    Examples:

      linnet drift simulate --kind blur --kind darken --severity 0.6 --rate 100 --count 3000

      linnet drift simulate --kind label-shift --severity 0.4 --feedback

      linnet drift simulate --kind noise --severity 0.3 --dry-run
    """
    from linnet.monitoring.simulate import check, drifted, play
    from linnet.serving.client import ServerClient
    from linnet.tasks.answer import answer_of
    from linnet.tasks.target import target_of

    check(kind, severity)
    pool = _pool(training_set or _training_set(name or _only_served()))
    stream = drifted(pool, kind, severity, count, seed)
    console = terminal()
    if dry_run:
        console.print(f"wrote {_picture(pool, stream)}: above as they are, below as they would be sent")
        return
    client = ServerClient.from_state(server_state_file())
    client.model = _asked_model(client, name, pool)
    said, target = answer_of(pool.task, pool.classes).said, target_of(pool.task)
    with progress_bars() as progress:
        sent = play(
            stream, lambda image: _ask(client, said, image), rate, count, seconds, progress, task=pool.task
        )
    right = f", {sent.right / sent.answered:.1%} correct" if sent.answered else ""
    console.print(f"{sent.answered:,} answered{right}; {sent.failed:,} failed, {sent.late:,} sent late")
    if sent.problem:
        console.print(f"first failure: {sent.problem}")
    if feedback:
        known = [
            (request, target.cell(label))
            for request, label in sent.labels
            if set(pool.classes).issuperset(target.classes(label))
        ]
        _send_labels(client, known)
        console.print(f"{len(known):,} labels sent")
    raise typer.Exit(1 if sent.failed or not sent.answered else 0)


@drift_app.command("watch")
def watch(
    config: OptionalConfig = None,
    name: ModelName = "",
    stop: Annotated[bool, typer.Option("--stop", help="Do not watch any more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say when it would look.")] = False,
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
        bool, typer.Option("--known", help="All images are of the dataset: unknown pixels are a difference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every served row again offline and compare it bit by bit.

    Features come from the feature store by a point-in-time join as of the moment of serving; kept images
    are decoded and computed again; libraries are compared with those the package was proved with. Exit
    status 3: something differs, or nothing could be compared.

    Examples:

      linnet skew audit

      linnet skew audit --config configs/fashion.toml --minutes 60 --known
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
        redacted = bool(serving.log_image_blocks)
        found = audit_window(
            window, champion.package, package.name, package.feature_service, Path(out), known, redacted,
            progress,
        )  # fmt: skip
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        show_skew(found)
    raise typer.Exit(0 if found.verdict == "pass" else 3)


def _settings(name: str, path: Path | None) -> tuple[Champion, MonitoringConfig, ServingConfig]:
    if path is None:
        champion = find_champion(name)
        config = model_config(champion.name).config
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


def _only_served() -> str:
    """The one model that is served; empty where there are several, or none."""
    state = ServerState.read(server_state_file())
    models = (state.models if state is not None else None) or []
    return models[0] if len(models) == 1 else ""


def _training_set(model: str) -> Path:
    """The training set of the newest run of a model that made one; of any model if none is named."""
    from linnet.run import runs

    for folder, record in runs.readable(runs.recorded):
        found = folder / "build-features" / "training_set"
        if (found / "training_set.json").exists() and model in ("", record.model_name):
            return found
    return state_dir() / "latest" / "build-features" / "training_set"


def _pool(folder: Path) -> ImagePool:
    import numpy as np

    from linnet.errors import StorageError
    from linnet.monitoring.simulate import ImagePool
    from linnet.records import TrainingSetManifest
    from linnet.tasks.target import target_of

    try:
        about = TrainingSetManifest.load(folder / "training_set.json")
        images = np.load(folder / "images-production.npy", mmap_mode="r")
        labels = np.load(folder / "labels-production.npy")
    except (StorageError, OSError, ValueError) as error:
        remedy = "`linnet run CONFIG` makes one; or name another with --training-set"
        raise DataError(
            str(folder), f"there is no training set to draw images from ({error})", remedy
        ) from error
    if not len(images):
        raise DataError(str(folder), "its production split is empty", "raise data.production_fraction")
    if problem := target_of(about.task).problem(labels, len(about.classes)):
        raise DataError(str(folder), f"the file labels-production.npy {problem}", "build the features again")
    return ImagePool(images, labels, about.classes, about.task)


def _asked_model(client: ServerClient, name: str, pool: ImagePool) -> str:
    """The served model that images of the pool are sent to: one that knows their classes.

    Raises:
        ServingError: it is not served, knows other classes, or there is no telling which is meant.
    """
    served = client.models()
    if name and name not in served:
        raise ServingError(f"model {name} is not served ({', '.join(served)} is): `linnet up --name {name}`")
    fitting = [one for one in ([name] if name else served) if _classes(client, one) == tuple(pool.classes)]
    if not fitting:
        raise ServingError(
            f"{name or ' and '.join(served)} knows other classes than the training set "
            f"({', '.join(pool.classes[:5])}...): name the model's own with --training-set"
        )
    if len(fitting) > 1:
        raise several_models(fitting, "know these classes")
    return fitting[0]


def _classes(client: ServerClient, model: str) -> tuple[str, ...]:
    outputs = client.metadata(model)["outputs"]
    return tuple(next(one for one in outputs if one["name"] == "probabilities")["parameters"]["classes"])


def _ask(client: Any, said: Any, image: Any) -> tuple[str, str]:
    from linnet.vision.decode import encode_png

    path = f"/predict/{quote(client.model, safe='')}"
    status, _, body = client.request("POST", path, encode_png(image), {"Content-Type": "image/png"})
    answer = json.loads(body)
    if status != 200:
        raise ServingError(f"status {status}: {answer.get('error', 'no reason given')}")
    return answer["request_id"], said(answer["predictions"])


def _send_labels(client: Any, labels: list[tuple[str, str]]) -> None:
    for start in range(0, len(labels), 500):
        rows = [{"request_id": name, "label": label} for name, label in labels[start : start + 500]]
        status, _, body = client.request(
            "POST", f"/feedback/{quote(client.model, safe='')}", json.dumps({"labels": rows}).encode()
        )
        if status >= 400:
            said = body.decode("utf-8", "replace")[:300]
            raise ServingError(f"the server did not take the labels (status {status}): {said}")


def _picture(pool: ImagePool, stream: Any, most: int = 12) -> Path:
    """Twelve images of the pool above twelve of the stream, four times as large."""
    import numpy as np

    from linnet.storage.files import replacing
    from linnet.vision.decode import encode_png

    sent = np.concatenate([image for _, (image, _) in zip(range(most), stream, strict=False)], axis=1)
    plain = np.concatenate(
        [np.asarray(image) for image in pool.images[: sent.shape[1] // pool.images.shape[2]]], 1
    )
    both = np.concatenate([plain, sent]).repeat(4, axis=0).repeat(4, axis=1)
    path = state_dir() / "monitoring" / "simulated.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_bytes(encode_png(np.ascontiguousarray(both)))
    return path
