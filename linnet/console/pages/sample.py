"""`/samples/ID`: one image, by the digest of its pixels."""

from __future__ import annotations

import re
from dataclasses import replace

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.held_out import training_set_of
from linnet.console.markup import Html, join, left_out, link
from linnet.console.one_sample import (
    OneSample,
    answers_of,
    asked,
    find_in,
    image_in,
    looked_at,
    said_by,
    seen_by,
)
from linnet.console.pages.data import dataset_versions
from linnet.console.views import sample as view
from linnet.errors import LinnetError
from linnet.records import ModelVersion
from linnet.run import runs

PLACE = 11
_ID = re.compile(r"[0-9a-f]{8,64}")


def register(context: Context, app: FastAPI) -> None:
    """Adds the page."""

    @ui.page("/samples/{sample_id}", title="Sample · Linnet")
    async def one(request: Request, sample_id: str) -> None:
        ui.page_title(f"Sample {sample_id[:12]} · Linnet")
        with shell.frame("Data", role_of(request)):
            about = "Its labels, where it was used, and what versions say of it."
            shell.head(f"Sample {sample_id[:12]}", about, link("Data", "/data"))
            await shell.shown(lambda: load(context, sample_id), shell.html)


def load(context: Context, sample_id: str) -> Html:
    """The page of an image that a dataset here holds."""
    if not _ID.fullmatch(sample_id):
        return view.unknown(sample_id)
    found, unread = _found(context, sample_id)
    if found is None:
        return join([left_out(unread), view.unknown(sample_id)])
    for model in dict.fromkeys(place.record.model_name for place in found.places):
        try:
            versions = context.sources.versions(model) if model in context.sources.models() else []
            found = _answered(context, found, versions, unread)
            if not found.explained:
                found = _explained(context, found, versions, unread)
        except LinnetError as error:
            unread.append(f"the versions of {model}: {error}")
    return view.page(found, unread)


def _found(context: Context, sample_id: str) -> tuple[OneSample | None, list[str]]:
    """The image in the datasets of runs here, the newest first."""
    places, pixels = [], None
    versions, unread = dataset_versions(context)
    for record, _ in versions:
        try:
            samples = runs.artifact(runs.runs_dir() / record.run_id, "ingest", "samples")
            if samples is not None and (place := find_in(samples, record, sample_id)):
                places.append(place)
                pixels = image_in(samples, place.manifest, sample_id) if pixels is None else pixels
        except (LinnetError, OSError, ValueError) as error:
            unread.append(f"the dataset of run {record.run_id}: {error}")
    if pixels is None:
        return None, unread
    names = {str(place.record.config.get("name", "")) for place in places} - {""}
    return OneSample(sample_id, pixels, tuple(places), answers_of(names, sample_id)), unread


def _answered(
    context: Context, found: OneSample, versions: list[ModelVersion], unread: list[str]
) -> OneSample:
    """With what the versions of one more model say."""
    said = [*found.said]
    for version in asked(versions):
        try:
            model = context.packaged(context.sources.package(version))
            said.append(said_by(model, version, found.pixels))
        except (LinnetError, ValueError) as error:
            unread.append(f"what version {version.version} says: {error}")
    return replace(found, said=tuple(said), versions=found.versions + len(versions))


def _explained(
    context: Context, found: OneSample, versions: list[ModelVersion], unread: list[str]
) -> OneSample:
    """With the reasons of the champion, else of the newest version, and the training images nearest to it."""
    best = next((v for v in versions if "champion" in v.aliases), versions[0] if versions else None)
    if best is None or all(one.version != best for one in found.said):
        return found
    model = context.packaged(context.sources.package(best))
    seen = seen_by(model, found.pixels)[None]
    values = model.features(seen)[0]
    pairs = tuple(zip(model.package.features, map(float, values), strict=True))
    name = f"{best.name} {best.version}"
    found = replace(found, explained=name, features=pairs, saliency=looked_at(model, found.pixels))
    evidence = context.sources.evidence_of(best, unread)
    training_set = training_set_of(evidence.folder) if evidence else None
    if training_set is None:
        return found
    _, embedding = model.predict(seen)
    return replace(found, nearest=context.index.nearest(model, training_set, embedding[0]))
