"""PipelineService and PipelineUploadService."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import Any

from fastapi import APIRouter, Request, UploadFile

from linnet.engine.api.body import Body
from linnet.engine.api.request import engine_of, page, plain_view
from linnet.engine.api_errors import ApiError
from linnet.engine.catalog import read_spec
from linnet.errors import RunError
from linnet.runner.spec import Spec

router = APIRouter()
PIPELINES = "/apis/v2beta1/pipelines"
_URL = "a pipeline is not fetched from an address here: upload the file"


@router.post(PIPELINES + "/upload")
def upload_pipeline(request: Request, uploadfile: UploadFile) -> dict[str, Any]:
    """A new pipeline from a compiled file: YAML, or packed as .tar.gz, .tgz or .zip."""
    engine = engine_of(request)
    spec = _read(uploadfile, engine.config.max_upload_mb)
    return engine.library.upload(_about(request), spec).body


@router.post(PIPELINES + "/upload_version")
def upload_version(request: Request, uploadfile: UploadFile) -> dict[str, Any]:
    """A new version of a pipeline."""
    engine = engine_of(request)
    about = _about(request)
    spec = _read(uploadfile, engine.config.max_upload_mb)
    name = about.get("name") or uploadfile.filename
    return engine.library.add_version(about.get("pipelineid", ""), {**about, "name": name}, spec).body


@router.post(PIPELINES)
def create_pipeline(request: Request, body: Body) -> dict[str, Any]:
    """A pipeline without versions."""
    return engine_of(request).library.add_pipeline(body).body


@router.post(PIPELINES + "/create")
def create_pipeline_and_version() -> dict[str, Any]:
    """Is refused: it needs an address to fetch from."""
    raise ApiError("UNIMPLEMENTED", _URL)


@router.get(PIPELINES)
def list_pipelines(request: Request) -> dict[str, Any]:
    """Pipelines."""
    return page(request, "pipeline", "pipelines", plain_view)


@router.get(PIPELINES + "/names/{name}")
def pipeline_by_name(request: Request, name: str) -> dict[str, Any]:
    """A pipeline by its name."""
    found = engine_of(request).store.by_key("pipeline", name)
    if found is None:
        raise ApiError("NOT_FOUND", f"there is no pipeline named {name!r}")
    return found.body


@router.get(PIPELINES + "/{pipeline_id}")
def get_pipeline(request: Request, pipeline_id: str) -> dict[str, Any]:
    """A pipeline."""
    return engine_of(request).store.get("pipeline", pipeline_id).body


@router.patch(PIPELINES + "/{pipeline_id}")
def update_pipeline(request: Request, pipeline_id: str, body: Body) -> dict[str, Any]:
    """Another display name, description or tags."""
    return engine_of(request).store.change("pipeline", pipeline_id, _changes(body)).body


@router.delete(PIPELINES + "/{pipeline_id}")
def delete_pipeline(request: Request, pipeline_id: str, cascade: bool = False) -> dict[str, Any]:
    """Removes a pipeline; its runs stay."""
    engine_of(request).library.remove_pipeline(pipeline_id, cascade)
    return {}


@router.post(PIPELINES + "/{pipeline_id}/versions")
def create_version(request: Request, pipeline_id: str, body: Body) -> dict[str, Any]:
    """A version from the pipeline_spec that the request brings."""
    if not body.get("pipeline_spec"):
        raise ApiError("UNIMPLEMENTED", _URL)
    return engine_of(request).library.add_version(pipeline_id, body, read_spec(body["pipeline_spec"])).body


@router.get(PIPELINES + "/{pipeline_id}/versions")
def list_versions(request: Request, pipeline_id: str) -> dict[str, Any]:
    """The versions of a pipeline."""
    engine_of(request).store.get("pipeline", pipeline_id)
    return page(request, "version", "pipeline_versions", plain_view, pipeline_id=pipeline_id)


@router.get(PIPELINES + "/{pipeline_id}/versions/{version_id}")
def get_version(request: Request, pipeline_id: str, version_id: str) -> dict[str, Any]:
    """A version with its pipeline_spec."""
    return engine_of(request).library.version(pipeline_id, version_id).body


@router.patch(PIPELINES + "/{pipeline_id}/versions/{version_id}")
def update_version(request: Request, pipeline_id: str, version_id: str, body: Body) -> dict[str, Any]:
    """Another display name, description or tags."""
    engine = engine_of(request)
    engine.library.version(pipeline_id, version_id)
    return engine.store.change("version", version_id, _changes(body)).body


@router.delete(PIPELINES + "/{pipeline_id}/versions/{version_id}")
def delete_version(request: Request, pipeline_id: str, version_id: str) -> dict[str, Any]:
    """Removes a version."""
    engine = engine_of(request)
    engine.library.version(pipeline_id, version_id)
    engine.store.remove("version", version_id)
    return {}


def _about(request: Request) -> dict[str, Any]:
    about: dict[str, Any] = {key: value for key, value in request.query_params.items() if value}
    if "tags" in about:
        try:
            about["tags"] = dict(json.loads(about["tags"]))
        except (ValueError, TypeError) as error:
            raise ApiError("INVALID_ARGUMENT", "tags: not a JSON object") from error
    return about


def _changes(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("display_name", "description", "tags") if key in body}


def _read(upload: UploadFile, limit_mb: float) -> Spec:
    """The pipeline of an uploaded file, which may unpack to `limit_mb` at most."""
    name, limit = upload.filename or "", int(limit_mb * 1e6)
    try:
        if name.endswith((".tar.gz", ".tgz")):
            text = _from_tar(upload, limit)
        elif name.endswith(".zip"):
            text = _from_zip(upload, limit)
        else:
            text = upload.file.read(limit + 1)
        if len(text) > limit:
            raise ApiError("INVALID_ARGUMENT", f"{name}: more than {limit_mb:g} MB (engine.max_upload_mb)")
        return Spec.from_text(text)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ApiError("INVALID_ARGUMENT", f"{name}: cannot be unpacked: {error}") from error
    except (RunError, KeyError, TypeError) as error:
        raise ApiError("INVALID_ARGUMENT", f"{name}: {error}") from error


def _from_tar(upload: UploadFile, limit: int) -> bytes:
    with tarfile.open(fileobj=upload.file, mode="r|gz") as archive:
        for member in archive:  # one after another: a packed bomb is left where it is
            if member.isfile() and member.name.endswith((".yaml", ".yml")):
                found = archive.extractfile(member)
                return found.read(limit + 1) if found else b""
            if member.size > limit:
                break
    raise ApiError("INVALID_ARGUMENT", f"{upload.filename}: there is no .yaml file in it")


def _from_zip(upload: UploadFile, limit: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(upload.file.read(limit + 1))) as archive:
        for name in archive.namelist():
            if name.endswith((".yaml", ".yml")):
                with archive.open(name) as found:
                    return found.read(limit + 1)
    raise ApiError("INVALID_ARGUMENT", f"{upload.filename}: there is no .yaml file in it")
