"""What a request's body may look like: the fields of KFP's API that the engine reads, each of its type.

Routes and their parts read plain dictionaries, as KFP's API has more fields than the engine needs. What
they do read is checked here, once, before any of them sees it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

_Text = str | None
_Whole = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")] | Annotated[int, Field(ge=0, lt=10**9)] | None
"""protobuf's JSON writes 64-bit numbers as texts; both are taken."""
_Seconds = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")] | float | int | None


class _Shape(BaseModel):
    """Strict, so that 1 is no text; what the engine does not read may be anything."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _RuntimeConfig(_Shape):
    parameters: dict[str, Any] | None = None
    pipeline_root: _Text = None


class _PipelineVersion(_Shape):
    pipeline_id: _Text = None
    pipeline_version_id: _Text = None


class _Cron(_Shape):
    cron: _Text = None
    start_time: _Text = None
    end_time: _Text = None


class _Period(_Shape):
    interval_second: _Seconds = None
    start_time: _Text = None
    end_time: _Text = None


class _Trigger(_Shape):
    cron_schedule: _Cron | None = None
    periodic_schedule: _Period | None = None


class _Fields(_Shape):
    """Those of runs, recurring runs, pipelines, versions and experiments: a name means one thing in all."""

    display_name: _Text = None
    name: _Text = None
    description: _Text = None
    namespace: _Text = None
    experiment_id: _Text = None
    pipeline_id: _Text = None
    service_account: _Text = None
    pipeline_root: _Text = None
    mode: _Text = None
    max_concurrency: _Whole = None
    no_catchup: bool | None = None
    tags: dict[str, str] | None = None
    runtime_config: _RuntimeConfig | None = None
    pipeline_version_reference: _PipelineVersion | None = None
    pipeline_spec: dict[str, Any] | None = None
    trigger: _Trigger | None = None


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it is no Unicode: half of a surrogate pair") from error
    except ValueError as error:
        raise ValueError("a number in it is NaN or infinite, which JSON does not have") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    try:
        _Fields.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part in _NAMES)
        raise ValueError(f"{field}: {first['msg']}") from error
    return body


_SHAPES: tuple[type[_Shape], ...] = (_Fields, _RuntimeConfig, _PipelineVersion, _Trigger, _Cron, _Period)
_NAMES = {name for shape in _SHAPES for name in shape.model_fields}
"""Fields; the rest of an error's place names pydantic's own branches."""
Body = Annotated[dict[str, Any], AfterValidator(_checked)]
"""A request's body: a JSON object whose fields have the types of KFP's API; anything else gets a 400."""
