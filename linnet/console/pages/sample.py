"""`/samples/ID`: one image, by the digest of its pixels."""

from __future__ import annotations

import re
from dataclasses import replace

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.held_out import training_set_of
from linnet.console.markup import Html, link
from linnet.console.one_sample import (
    OneSample,
    answers_of,
    asked,
    decoded,
    find_in,
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
        return view.unknown(sample_id)
    model = found.places[0].record.model_name
    try:
        versions = context.sources.versions(model) if model in context.sources.models() else []
        found = _explained(context, found, versions, unread)
    except LinnetError as error:
        unread.append(f"the versions of {model}: {error}")
    return view.page(found, unread)


def _found(context: Context, sample_id: str) -> tuple[OneSample | None, list[str]]:
    """The image in the datasets of runs here, the newest first."""
    places, images = [], []
    versions, unread = dataset_versions(context)
    for record, _ in versions:
        try:
            samples = runs.artifact(runs.runs_dir() / record.run_id, "ingest", "samples")
            if samples is not None and (one := find_in(samples, record, sample_id)):
                places.append(one[0])
                images.append(one[1])
        except (LinnetError, OSError, ValueError) as error:
            unread.append(f"the dataset of run {record.run_id}: {error}")
    if not places:
        return None, unread
    names = {str(place.record.config.get("name", "")) for place in places} - {""}
    return OneSample(sample_id, decoded(images[0]), tuple(places), answers_of(names, sample_id)), unread


def _explained(
    context: Context, found: OneSample, versions: list[ModelVersion], unread: list[str]
) -> OneSample:
    """With what the versions say, the champion's reasons, and the training images nearest to it."""
    said = []
    for version in asked(versions):
        try:
            model = context.packaged(context.sources.package(version))
            said.append(said_by(model, version, found.pixels))
        except (LinnetError, ValueError) as error:
            unread.append(f"what version {version.version} says: {error}")
    found = replace(found, said=tuple(said))
    best = next((v for v in versions if "champion" in v.aliases), versions[0] if versions else None)
    if best is None or not said:
        return found
    model = context.packaged(context.sources.package(best))
    seen = seen_by(model, found.pixels)[None]
    values = model.features(seen)[0]
    pairs = tuple(zip(model.package.features, map(float, values), strict=True))
    found = replace(found, features=pairs, saliency=looked_at(model, found.pixels))
    evidence = context.sources.evidence_of(best, unread)
    training_set = training_set_of(evidence.folder) if evidence else None
    if training_set is None:
        return found
    _, embedding = model.predict(seen)
    return replace(found, nearest=context.index.nearest(model, training_set, embedding[0]))
