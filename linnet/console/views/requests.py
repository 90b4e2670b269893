"""One request: its image, its answer, its times and what came back. Records in, markup out."""

from __future__ import annotations

import base64

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console.markup import Html, address, bar, card, chip, empty, facts, join, link, tag, when
from linnet.monitoring.request_lookup import ServedImage, ServedRequest, listed
from linnet.pages.numbers import percent
from linnet.records.refused import RefusedRequest

_MOST_CLASSES = 5


def search(wanted: str) -> Html:
    """The form that asks for an id; it works without script."""
    label = "Id of a request, or of an image (sample)"
    box = tag(
        "input", type="search", name="id", value=wanted, aria_label=label, placeholder=label, class_="search"
    )
    button = tag("button", "Show", type="submit", class_="button")
    return tag("form", box, button, method="get", action="/requests", class_="asked")


def unknown(wanted: str) -> Html:
    """Nobody knows the id."""
    hint = "It is neither in the prediction log nor among the refused ones; what was answered just now is there within a second."
    return empty(f"No request {wanted[:80]}", hint)


def older(count: int) -> Html:
    """How many answers are not shown."""
    return tag("p", f"And {count:,} older answers.", class_="soft small") if count > 0 else Html("")


def answer(request: ServedRequest, model: PackagedModel | None, run: str) -> Html:
    """One answer: to each of its images what was said, and by whom it was asked to be something else."""
    name = f"{request.model} {request.version}"
    pairs: list[tuple[str, object]] = [
        ("Outcome", chip("failed", mark=True) if request.error else chip("answered", "good", mark=True)),
        ("At", when(request.at)),
        ("Request", tag("code", request.request_id)),
        ("Version", link(name, address("models", request.model, request.version))),
        ("Run", link(run, address("runs", run)) if run else "not known here"),
        ("Latency", f"{request.latency_ms:.1f} ms, without the queue"),
    ]
    if request.error:
        pairs.append(("Why", request.error))
    images = [] if request.error else [_image(one, request, model) for one in request.images]
    return tag("section", card(f"Answer of {name}", facts(pairs)), *images)


def _image(one: ServedImage, request: ServedRequest, model: PackagedModel | None) -> Html:
    said = listed(model.answer, one.probabilities) if model else []
    rows = [(str(named["class"]), float(named["probability"])) for named in said[:_MOST_CLASSES]]
    rows = rows or [(one.predicted or "none of the classes", one.confidence or 0.0)]
    bars = [
        part
        for rank, (name, share) in enumerate(rows)
        for part in (tag("span", name), bar(share, warm=rank > 0), tag("span", percent(share)))
    ]
    label = "none came yet"
    if one.label:
        label = join([tag("b", one.label), " at ", when(one.labelled_at)])
    pairs: list[tuple[str, object]] = [("True label (feedback)", label)]
    if one.sample_id:
        links = (
            link("as a sample", address("samples", one.sample_id)),
            ", ",
            link("all its requests", address("requests", id=one.sample_id)),
        )
        pairs.append(("Image", join([tag("code", one.sample_id), " ", *links])))
    if model and len(model.package.features) == len(one.features):
        told = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(model.package.features, one.features, strict=True)
        )
        pairs.append(("Features", tag("span", told, class_="soft small")))
    picture = _picture(one)
    body = tag("div", tag("div", *bars, class_="answer"), tag("div", facts(pairs)), class_="stack")
    title = f"Image {one.index + 1}" if len(request.images) > 1 else "Image"
    return tag("div", card(title, tag("div", picture, body, class_="grid two")), style="margin-top:14px")


def _picture(one: ServedImage) -> Html:
    if one.image is None:
        hint = "`serving.log_images` says of how many requests the log keeps the image."
        return empty("The image was not kept", hint)
    address_ = "data:image/png;base64," + base64.b64encode(one.image).decode()
    caption = tag("figcaption", "as the model saw it")
    return tag("figure", tag("img", src=address_, alt="the image that was sent"), caption)


def refusal(request: RefusedRequest) -> Html:
    """A request that got no prediction."""
    pairs: list[tuple[str, object]] = [
        ("Outcome", chip(f"refused: {request.reason}", "bad", mark=True)),
        ("At", when(request.at)),
        ("Request", tag("code", request.request_id)),
        ("Model", request.model or "none was meant"),
        ("The sender was told", f"{request.status}: {request.problem}"),
        ("Sent to", f"{request.method} {request.path}"),
        ("Body", f"{request.size:,} bytes, {'kept' if request.kept else 'not kept'}"),
        (
            "Headers",
            ", ".join(f"{name}: {value}" for name, value in request.headers.items()) or "none of interest",
        ),
    ]
    return tag("section", card("Refused", facts(pairs)))
