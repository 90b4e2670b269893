"""What all routes share: reading a request, and answering with a page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from linnet.automation.mlflow_sync import MlflowSync
from linnet.config import EngineConfig
from linnet.engine.api_errors import ApiError
from linnet.engine.catalog import PipelineCatalog
from linnet.engine.listing import query
from linnet.engine.recurring import Recurring
from linnet.engine.store import Kind, Resource, ResourceStore
from linnet.engine.submission import Submissions
from linnet.engine.supervisor import RunSupervisor

KEY_HEADER = "Idempotency-Key"
"""Names a submission (draft-ietf-httpapi-idempotency-key-header)."""


@dataclass(frozen=True)
class Engine:
    """The parts of a running engine."""

    config: EngineConfig
    store: ResourceStore
    supervisor: RunSupervisor
    library: PipelineCatalog
    submissions: Submissions
    recurring: Recurring
    mirror: MlflowSync
    keep_alive: threading.Event = field(default_factory=threading.Event)
    """Set when `linnet up` wants it to stay, though a run started it."""
    exit_when_idle: threading.Event = field(default_factory=threading.Event)
    """Set when whoever started it needs it no more: it need not wait for others then."""
    idle: threading.Event = field(default_factory=threading.Event)
    """Set when it ends because there is nothing left to do, and not because it was told to."""


def engine_of(request: Request) -> Engine:
    """The engine that serves a request."""
    engine: Engine = request.app.state.engine
    return engine


def page(
    request: Request, kind: Kind, plural: str, view: Callable[[Resource], dict[str, Any]], **equal: str
) -> dict[str, Any]:
    """A page of a list, as the request's parameters ask for it."""
    asked = request.query_params
    size = asked.get("page_size", "") or "0"
    if not (size.isascii() and size.isdigit() and len(size) < 10):
        raise ApiError("INVALID_ARGUMENT", f"page_size: {size[:40]!r} is not a whole number of that size")
    wanted = query(
        filter_text=asked.get("filter", ""),
        sort_by=asked.get("sort_by", ""),
        page_size=int(size),
        page_token=asked.get("page_token", ""),
        **equal,
    )
    found, token, total = engine_of(request).store.page(kind, wanted)
    return {plural: [view(item) for item in found], "total_size": total, "next_page_token": token}


def plain_view(resource: Resource) -> dict[str, Any]:
    """A resource that is shown as it is kept."""
    return resource.body
