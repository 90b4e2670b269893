"""`/try`: an image in, the answer and its reasons out."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from nicegui import run, ui

from linnet.config import DataConfig
from linnet.console import explain, shell
from linnet.console.context import Context, role_of
from linnet.console.held_out import training_set_of
from linnet.console.markup import Html, address, bar, card, empty, join, link, problem, section, tag
from linnet.console.views.sample import neighbors
from linnet.errors import ImageTooLarge, LinnetError
from linnet.pages.numbers import percent
from linnet.records import ModelVersion
from linnet.serving.predictor import Predictor
from linnet.tasks.draw import draw_of
from linnet.tasks.target import target_of
from linnet.vision.decode import color_of, read_image, resize
from linnet.vision.formats import ACCEPT, NAMES
from linnet.vision.thumbnail import thumbnail

PLACE = 8
NAV = shell.NavItem("Try it", "/try", '<path d="M12 16V4M7 9l5-5 5 5M4 16v4h16v-4"/>')

_SHOWN = 320
"""Pixels of the longer side at which the image is shown as it was sent."""
_DRAWN = 640
"""Pixels of the longer side at which the answer is drawn in."""

_DROP = f"""
<label class="drop" id="drop"><b>Drop an image here, or choose one</b>{NAMES}
<input type="file" id="file" accept="{ACCEPT}"></label>
<div id="answer" aria-live="polite" style="margin-top:20px"></div>"""

_SCRIPT = '<script src="/console/try_it.js" defer></script>'


def register(context: Context, app: FastAPI) -> None:
    """Adds the page and what it asks."""

    @ui.page("/try", title="Try it · Linnet")
    async def try_it(request: Request, model: str = "") -> None:
        ui.add_head_html(_SCRIPT)
        with shell.frame("Try it", role_of(request)):
            shell.head("Try it", "What does the champion say of an image, and why?")
            await shell.shown(lambda: _chosen(context, model), lambda found: _draw(*found))

    @app.post("/try/ask", include_in_schema=False)
    async def ask(request: Request, model: str = "") -> HTMLResponse:
        image, most_mb = bytearray(), await run.io_bound(_most_mb, context, model)
        most_mb = most_mb or DataConfig().max_image_mb  # None while the console ends
        async for part in request.stream():
            image += part
            if len(image) > most_mb * 1_000_000:
                return HTMLResponse(problem(str(ImageTooLarge.bytes("the image", len(image), most_mb))))
        return HTMLResponse(await run.io_bound(answer, context, bytes(image), model))


def _champion(context: Context, wanted: str) -> ModelVersion | None:
    model = context.model(wanted)
    return context.sources.champion(model) if model else None


def _most_mb(context: Context, wanted: str) -> float:
    """Megabytes that an image may have: what the model says that is asked."""
    try:
        champion = _champion(context, wanted)
        if champion is not None:
            return context.packaged(context.sources.package(champion)).package.max_image_mb
    except LinnetError:  # `answer` says what is wrong
        pass
    return DataConfig().max_image_mb


def _chosen(context: Context, wanted: str) -> tuple[ModelVersion | None, str, list[str]]:
    """The champion that is asked, its model, and all models."""
    return _champion(context, wanted), context.model(wanted), context.sources.models()


def _draw(champion: ModelVersion | None, model: str, models: list[str]) -> None:
    shell.html(shell.choice("/try", model, models))
    if champion is None:
        shell.html(
            empty(
                "There is no champion to ask yet",
                join(
                    ["A run that comes through its release makes one: ", link("see the runs", "/runs"), "."]
                ),
            )
        )
    else:
        shell.html(_DROP)


def answer(context: Context, image: bytes, model: str = "") -> Html:
    """A model's answer by the server, or by the champion loaded here where none serves it, with its reasons."""
    try:
        champion = _champion(context, model)
        if champion is None:
            return problem("There is no champion to ask.")
        said = _said(context, champion, image)
        version = context.sources.version(champion.name, str(said["version"]))
        return join([_answer(said, version), _reasons(context, version, image)])
    except LinnetError as error:
        return problem(str(error))


def _said(context: Context, champion: ModelVersion, image: bytes) -> dict[str, Any]:
    if not context.sources.served(champion.name).problem:
        return context.sources.client(champion.name).predict(image) | {"by": "the server"}
    predictor = Predictor.load(champion.version, context.sources.package(champion))
    began = time.perf_counter()
    prediction = predictor.predict_upload(image)
    took = 1000 * (time.perf_counter() - began)
    return {
        "version": champion.version,
        "predictions": predictor.answer.listed(prediction.output[0]),
        "latency_ms": took,
        "by": "the champion, loaded here",
    }


def _answer(said: dict[str, Any], version: ModelVersion) -> Html:
    rows = []
    for rank, one in enumerate(said["predictions"][:5]):
        share = float(one["probability"])
        style = "first" if rank == 0 else None
        rows += [
            tag("span", one["class"], class_=style),
            bar(share, warm=rank > 0),
            tag("span", percent(share), class_=style),
        ]
    if not rows:
        rows = [tag("span", "none of the classes", class_="first")]
    name = link(f"{version.name} {version.version}", address("models", version.name, version.version))
    words = tag(
        "p",
        name,
        f" answered in {float(said.get('latency_ms', 0)):.1f} ms, {said['by']}.",
        class_="soft small",
        style="margin:14px 0 0",
    )
    return tag("section", card("Answer", tag("div", *rows, class_="answer"), words))


def _reasons(context: Context, version: ModelVersion, image: bytes) -> Html:
    model = context.packaged(context.sources.package(version))
    about = model.package
    sent = read_image(image, "the image", about.max_pixels, about.max_image_mb).pixels
    pixels = resize(sent, about.height, about.width, color_of(about.channels), about.fit)
    output, embedding = model.predict(pixels[None])
    target = int(model.answer.by_class(output)[0].argmax())
    weights = explain.occlusion(model, pixels, target)
    figures = (
        tag(
            "figure",
            tag("img", src=thumbnail(sent, _SHOWN), alt="your image"),
            tag("figcaption", "as you sent it"),
        ),
        tag(
            "figure",
            tag("img", src=thumbnail(pixels), alt="as the model sees it"),
            tag("figcaption", f"as the model sees it, {about.width} × {about.height}"),
        ),
        tag(
            "figure",
            tag("img", src=explain.heat(pixels, weights), alt="saliency map"),
            tag("figcaption", f"Blue supports {about.classes[target]}, orange opposes it"),
        ),
    )
    parts = [section("What it looked at", tag("div", *figures, class_="shots"))]
    if target_of(about.task).spatial:
        parts.insert(0, drawn_in(about.task, sent, model.answer.labels(output)[0]))
    evidence = context.sources.evidence_of(version)
    training_set = training_set_of(evidence.folder) if evidence else None
    if training_set is not None:
        parts.append(neighbors(context.index.nearest(model, training_set, embedding[0])))
    return join(parts)


def drawn_in(task: str, sent: explain.Pixels, label: str) -> Html:
    """The image with what the answer says is where."""
    height, width, channels = sent.shape
    scale = _DRAWN / max(height, width)
    rows, columns = (max(1, round(side * scale)) for side in (height, width))
    shown = resize(sent, rows, columns, color_of(channels))
    picture = thumbnail(draw_of(task)(shown, label, "orange"), _DRAWN)
    style = "max-width:100%;border-radius:8px"
    return section("Where", tag("img", src=picture, alt="your image, with the answer drawn in", style=style))
