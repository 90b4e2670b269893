"""One image: its labels, where it was used, and what versions say of it. Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence

from linnet.console.explain import Nearest
from linnet.console.markup import (
    Html,
    address,
    card,
    chip,
    empty,
    facts,
    join,
    left_out,
    link,
    of_all,
    section,
    table,
    tag,
    when,
)
from linnet.console.one_sample import OneSample, Place
from linnet.labels.table import LabelRow
from linnet.pages.numbers import percent
from linnet.vision.thumbnail import thumbnail

_SHOWN = 1024
"""Pixels of the longer side up to which the image is shown as it is."""


def page(found: OneSample, unread: Sequence[str]) -> Html:
    """The whole page."""
    height, width, channels = found.pixels.shape
    picture = tag(
        "figure",
        tag("img", src=thumbnail(found.pixels, _SHOWN), alt=f"sample {found.sample_id}", class_="full"),
        tag("figcaption", f"{width} × {height}, {'color' if channels == 3 else 'gray'}"),
    )
    parts: list[object] = [
        left_out(unread),
        tag("section", picture, _about(found), class_="grid two"),
        section("What versions say", _said(found)),
        section("Labels of people, the newest first", _answers(found.answers)),
        section("Datasets", _places(found.places)),
    ]
    if found.nearest is not None:
        parts.append(neighbors(found.nearest))
    return join(parts)


def unknown(sample_id: str) -> Html:
    """No dataset here has the image."""
    hint = join(
        [
            "No dataset that a run here read holds it. ",
            link("Was it sent to a model?", address("requests", id=sample_id)),
        ]
    )
    return empty(f"No sample {sample_id[:80]}", hint)


def _about(found: OneSample) -> Html:
    pairs: list[tuple[str, object]] = [("Sample", tag("code", found.sample_id))]
    if found.places:
        newest = found.places[0]
        pairs += [
            ("Label", tag("b", newest.label)),
            ("Given by", newest.source or "the dataset"),
            ("Split", newest.split),
            *((f"Cohort {name}", value or "–") for name, value in newest.cohorts),
        ]
        if newest.origin:
            pairs.append(("File", newest.origin))
    pairs.append(("Requests", link("where it was sent", address("requests", id=found.sample_id))))
    if found.features:
        told = ", ".join(f"{name} {value:.3g}" for name, value in found.features)
        pairs.append(("Features", tag("span", told, class_="soft small")))
    return card("", facts(pairs))


def _said(found: OneSample) -> Html:
    if not found.said:
        return empty("No version can be asked", "A run registers one when every gate passes.")
    truths = {place.record.model_name: place.label for place in reversed(found.places)}  # the newest stays
    rows = []
    for one in found.said:
        truth = truths.get(one.version.name, "")
        name = f"{one.version.name} {one.version.version}"
        right = (
            chip("as labelled", "good", mark=True) if one.label == truth else chip("not as labelled", "bad")
        )
        rows.append(
            (
                link(name, address("models", one.version.name, one.version.version)),
                join([chip(alias) for alias in one.version.aliases]),
                tag("b", one.label or "none of the classes"),
                percent(one.confidence),
                right if truth else "–",
            )
        )
    listed = table(("Version", "Role", "Answer", ">Confidence", ""), rows, "What versions say")
    note = of_all(len(found.said), found.versions, "versions, the newest and the champion of each model")
    shown = tag("div", listed, note)
    if not found.saliency:
        return shown
    seen = tag(
        "figure",
        tag("img", src=found.saliency, alt="saliency map"),
        tag("figcaption", f"Blue supports the answer of {found.explained}, orange opposes it"),
        style="max-width:240px",
    )
    return tag("div", shown, seen, class_="stack")


def _answers(rows: Sequence[LabelRow]) -> Html:
    if not rows:
        return empty("Nobody was asked", "The label is the dataset's own.")
    return table(
        ("When", "Annotator", "Answer", "?Round", "?Comment"),
        (
            (
                when(row.labelled_at),
                row.annotator,
                tag("b", row.label) if row.label else chip(row.status),
                row.batch or "–",
                tag("span", row.comment, class_="soft small"),
            )
            for row in reversed(rows)
        ),
        "Labels",
    )


def _places(places: Sequence[Place]) -> Html:
    return table(
        ("Dataset", "Label", "?Given by", "Split", "Read by"),
        (
            (
                tag("code", place.manifest.digest[:16]),
                place.label,
                place.source or "the dataset",
                place.split,
                link(place.record.run_id, address("data", run=place.record.run_id)),
            )
            for place in places
        ),
        "Datasets",
    )


def neighbors(near: Nearest) -> Html:
    """The nearest training images; where some of them were looked through, of how many."""
    shots = [
        tag(
            "figure",
            tag("img", src=one.picture, alt=f"training image {one.sample_id}"),
            tag(
                "figcaption",
                tag("b", link(one.label or "none of the classes", address("samples", one.sample_id))),
                tag("div", f"Similarity {one.similarity:.3f}", class_="soft"),
            ),
        )
        for one in near.images
    ]
    looked = tag("div", *shots, class_="shots")
    if near.among < near.of:
        sample = f"Of {near.among:,} of the {near.of:,} training images, drawn once at random."
        looked = join([looked, tag("p", sample, class_="soft small")])
    return section("The nearest training images", looked)
