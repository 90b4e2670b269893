"""The application of a worker process: finds the route, translates HTTP, answers every error as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from linnet import __version__
from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.serving import protocol
from linnet.serving.access import AccessControl
from linnet.serving.callers import Callers
from linnet.serving.messages import JSON, REQUEST_HEADER, VERSION_HEADER, Request, Response, request_id
from linnet.serving.metrics import Metrics
from linnet.serving.predictor import Prediction, Predictor, top_classes
from linnet.serving.service import Call, Inputs, PredictionOutcome, Service
from linnet.serving.upload import decodes_soon, entity_of, seconds_of

logger = logging.getLogger(__name__)
_BINARY_HEADER = "inference-header-content-length"
_LONG_JSON = 65_536
"""Bytes of JSON from which parsing goes to a thread."""
_BINARY_PATIENCE = 1 << 20
"""Bytes of a binary request up to which it is read on the event loop: no more than a copy."""

Elsewhere = Callable[[Request], Awaitable[Response]]
"""Answers what concerns all workers: admin, repository, metrics, feedback."""


class App:
    """Routes of the server: Open Inference Protocol v2, image upload, metrics, and admin."""

    def __init__(
        self,
        name: str,
        service: Service,
        metrics: Metrics,
        access: AccessControl,
        elsewhere: Elsewhere,
        config: ServingConfig,
    ) -> None:
        """`elsewhere` answers what is not this worker's alone."""
        self.name = name
        self.ready = True
        self._service, self._metrics, self._access = service, metrics, access
        self._forward_to_supervisor, self._max_pixels = elsewhere, config.max_pixels
        self._callers, self._max_answer = Callers(config), round(config.max_answer_mb * 1_000_000)

    async def handle(self, request: Request) -> Response:
        """Answers one request; nothing that happens inside reaches the client as a traceback."""
        named: str | None = None
        try:
            if request.rejected is not None:
                raise request.rejected
            named = request_id(request.headers)
            response = await self._route(request, named)
        except RequestRejected as error:
            self._metrics.rejected(error.status)
            response = Response.failure(error.status, error.problem)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            self._metrics.rejected(500)
            response = Response.failure(500, "the server failed on this request; its log has the reason")
        version = response.version or self._service.fleet.snapshot.leading
        response.headers.append((VERSION_HEADER, version))
        if named is not None:
            response.headers.append((REQUEST_HEADER, named))
        if response.status in (429, 503):
            response.headers.append(("retry-after", str(self._service.retry_after())))
        if response.status == 401:
            response.headers.append(("www-authenticate", "Bearer"))
        return response

    async def _route(self, request: Request, named: str) -> Response:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        self._callers.check_origin(request.method, request.headers)
        if parts[0] in ("admin", "feedback") or parts[:2] == ["v2", "repository"]:
            self._callers.check_host(request.headers)
        if parts[0] == "v2":
            return await self._v2(request, parts[1:], named)
        if parts == ["predict"]:
            _allow(request, "POST")
            self._access.admit(request.headers, "infer")
            return await self._predict(request, named)
        if parts[0] == "admin":
            self._access.admit(request.headers, "admin")
            return await self._forward_to_supervisor(request)
        if parts == ["feedback"]:
            _allow(request, "POST")
            self._access.admit(request.headers, "infer")
            return await self._forward_to_supervisor(request)
        if parts == ["metrics"]:
            _allow(request, "GET", "HEAD")
            return await self._forward_to_supervisor(request)
        raise RequestRejected(404, f"no such route: {request.path:.200}")

    async def _v2(self, request: Request, parts: list[str], named: str) -> Response:
        if len(parts) > 1 and parts[0] == "models":
            return await self._model(request, parts[1], parts[2:], named)
        if parts and parts[0] == "repository":
            self._access.admit(request.headers, "infer" if parts[1:] == ["index"] else "admin")
            return await self._forward_to_supervisor(request)
        known = {(): self._about, ("health", "live"): self._live, ("health", "ready"): self._ready}
        handler = known.get(tuple(parts))
        if handler is None:
            raise RequestRejected(404, f"no such route: {request.path:.200}")
        _allow(request, "GET", "HEAD")
        return handler()

    def _about(self) -> Response:
        extensions = ["binary_tensor_data", "model_repository", "image_upload"]
        return Response.of({"name": "linnet", "version": __version__, "extensions": extensions})

    def _live(self) -> Response:
        return Response.of({"live": True})

    def _ready(self) -> Response:
        ready = self.ready and self._service.fleet.snapshot.leading != "none"
        return Response.of({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request, name: str, parts: list[str], named: str) -> Response:
        if name != self.name:
            raise RequestRejected(404, f"model {name:.80} is not served here; {self.name} is")
        snapshot = self._service.fleet.snapshot
        version = None
        if parts and parts[0] == "versions" and len(parts) > 1:
            version, parts = parts[1], parts[2:]
            if version not in snapshot.predictors:
                raise RequestRejected(404, f"version {version:.80} is not loaded")
        if parts == ["infer"]:
            _allow(request, "POST")
            self._access.admit(request.headers, "infer")
            return await self._infer(request, version, named)
        shown = version or snapshot.leading
        if parts == ["ready"]:
            _allow(request, "GET", "HEAD")
            ready = self.ready and shown in snapshot.predictors
            response = Response.of({"name": name, "ready": ready}, 200 if ready else 503)
        elif parts:
            raise RequestRejected(404, f"no such route: {request.path:.200}")
        else:
            _allow(request, "GET", "HEAD")
            if shown not in snapshot.predictors:
                raise RequestRejected(503, "no model version is routed yet; try again later")
            package = snapshot.predictors[shown].package
            response = Response.of(protocol.model_metadata(name, sorted(snapshot.predictors), package))
        response.version = shown
        return response

    async def _predict(self, request: Request, named: str) -> Response:
        body = request.body

        def prepare(predictor: Predictor) -> Inputs:
            return predictor.image_of(body, self._max_pixels), None

        def render(predictor: Predictor, prediction: Prediction, milliseconds: float) -> tuple[bytes, None]:
            answer = {
                "request_id": named,
                "model": self.name,
                "version": predictor.version,
                "predictions": top_classes(predictor.classes, prediction.probabilities[0]),
                "latency_ms": round(milliseconds, 3),
            }
            return json.dumps(answer, separators=(",", ":")).encode(), None

        return await self._answer(request, named, None, prepare, render, not decodes_soon(body))

    async def _infer(self, request: Request, version: str | None, named: str) -> Response:
        head = request.headers.get(_BINARY_HEADER)
        if head is not None and not (head.isascii() and head.isdigit() and len(head) < 12):
            raise RequestRejected(400, "Inference-Header-Content-Length: must be a whole number of bytes")
        length = int(head) if head is not None else None
        parsed: list[protocol.InferRequest] = []

        def prepare(predictor: Predictor) -> Inputs:
            if not parsed:  # once, also if it is mirrored
                parsed.append(protocol.parse_request(request.body, length))
                protocol.check_answer(
                    parsed[0], len(predictor.classes), predictor.embedding, self._max_answer
                )
            return parsed[0].images, parsed[0].features

        def render(predictor: Predictor, prediction: Prediction, _: float) -> tuple[bytes, int | None]:
            return protocol.format_answer(
                self.name, predictor.version, parsed[0], prediction, predictor.classes
            )

        json_size = len(request.body) if length is None else length
        heavy = json_size > _LONG_JSON or len(request.body) > _BINARY_PATIENCE
        return await self._answer(request, named, version, prepare, render, heavy)

    async def _answer(
        self, request: Request, named: str, version: str | None, prepare: Any, render: Any, heavy: bool
    ) -> Response:
        headers = request.headers
        key, entity, wait = headers.get("linnet-key"), entity_of(headers), seconds_of(headers)
        call = Call(named, key, version, prepare, render, heavy, entity, wait)
        outcome, finish = await self._service.answer(call)
        response = _response_of(outcome)
        response.after = finish
        if outcome.status not in (200, 500):
            self._metrics.rejected(outcome.status)
        return response


def _response_of(outcome: PredictionOutcome) -> Response:
    if outcome.error is not None:
        response = Response.failure(outcome.status, outcome.error)
    elif outcome.head is not None:
        response = Response(200, outcome.body, "application/octet-stream")
        response.headers.append((_BINARY_HEADER, str(outcome.head)))
    else:
        response = Response(200, outcome.body, JSON)
    response.version = outcome.version
    return response


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise RequestRejected(405, f"{request.method:.20} is not allowed here; use {' or '.join(methods)}")
