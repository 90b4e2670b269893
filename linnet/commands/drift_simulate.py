"""`linnet drift simulate`: real images, changed as the world might change them, against the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from linnet.commands.terminal import progress_bars, terminal
from linnet.errors import DataError, ServingError
from linnet.process.model_server import ServerState
from linnet.records import RunRecord
from linnet.registry.connect import several_models
from linnet.storage.paths import server_state_file, state_dir

if TYPE_CHECKING:
    from linnet.monitoring.simulate import ImagePool
    from linnet.serving.client import ServerClient

Name = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]


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
    images_of = training_set or _training_set(name or _only_served())
    pool = _pool(images_of)
    stream = drifted(pool, kind, severity, count, seed)
    console = terminal()
    if dry_run:
        console.print(f"wrote {_picture(pool, stream)}: above as they are, below as they would be sent")
        return
    client = ServerClient.from_state(server_state_file())
    client.model = _asked_model(client, name, pool)
    console.print(f"to model {client.model}, images of {images_of}", soft_wrap=True)
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


def _only_served() -> str:
    """The one model that is served; empty where none is.

    Raises:
        RegistryError: several are.
    """
    state = ServerState.read(server_state_file())
    models = (state.models if state is not None else None) or []
    if len(models) > 1:
        raise several_models(models, "are served")
    return next(iter(models), "")


def _training_set(model: str) -> Path:
    """The training set of the newest run of a model that made one; of any model if none is named."""
    from linnet.run.outputs import written

    def ours(record: RunRecord) -> bool:
        return model in ("", record.model_name)

    for found in written("build-features", "training_set", "training_set.json", ours):
        return found
    if model:
        raise DataError(
            model,
            "no run here made a training set of it",
            "run its config, or name a folder with --training-set",
        )
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
    return tuple(outputs[0]["parameters"]["classes"])


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
