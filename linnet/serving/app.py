"""The RSGI application: finds the route, translates HTTP, and answers every error as JSON."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import unquote

from linnet.errors import RequestRejected
from linnet.serving import protocol
from linnet.serving.admin import Admin
from linnet.serving.exchange import JSON, REQUEST_HEADER, VERSION_HEADER, Response, read_body, request_id
from linnet.serving.metrics import CONTENT_TYPE, Metrics
from linnet.serving.predictor import Prediction, Predictor, top_classes
from linnet.serving.service import Call, Outcome, Service

logger = logging.getLogger(__name__)
_BINARY_HEADER = "inference-header-content-length"


class App:
    """Routes of the server: Open Inference Protocol v2, image upload, metrics, and admin."""

    def __init__(
        self, name: str, service: Service, metrics: Metrics, admin: Admin, max_body: int, max_pixels: int
    ) -> None:
        """`max_body` in bytes; `max_pixels` of an uploaded image."""
        self.name = name
        self.ready = True
        self._service, self._metrics, self._admin = service, metrics, admin
        self._max_body, self._max_pixels = max_body, max_pixels

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answers one request; nothing that happens inside reaches the client as a traceback."""
        named: str | None = None
        try:
            named = request_id(scope.headers)
            response = await self._route(scope, proto, named)
        except RequestRejected as error:
            self._metrics.rejected(error.status)
            response = Response.failure(error.status, error.problem)
        except Exception:
            logger.exception("%s %s failed", scope.method, scope.path)
            self._metrics.rejected(500)
            response = Response.failure(500, "the server failed on this request; its log has the reason")
        version = response.version or self._service.fleet.snapshot.leading
        headers = [("content-type", response.content_type), (VERSION_HEADER, version), *response.headers]
        if named is not None:
            headers.append((REQUEST_HEADER, named))
        if response.status == 429:
            headers.append(("retry-after", "1"))
        if response.status in (405, 408, 413):  # part of a body may be left unread
            headers.append(("connection", "close"))
        proto.response_bytes(response.status, headers, response.body)
        if response.after is not None:
            response.after()

    async def _route(self, scope: Any, proto: Any, named: str) -> Response:
        parts = [unquote(part) for part in scope.path.strip("/").split("/")]
        if parts[0] == "admin":
            return await self._admin.handle(scope, proto, parts[1:])
        if parts == ["predict"]:
            _allow(scope, "POST")
            return await self._predict(scope, proto, named)
        if parts == ["metrics"]:
            _allow(scope, "GET")
            return Response(200, self._metrics.text(), CONTENT_TYPE)
        if parts[0] == "v2":
            return await self._v2(scope, proto, parts[1:], named)
        raise RequestRejected(404, f"there is nothing at {scope.path:.200}")

    async def _v2(self, scope: Any, proto: Any, parts: list[str], named: str) -> Response:
        if parts and parts[0] == "models" and len(parts) > 1:
            return await self._model(scope, proto, parts[1], parts[2:], named)
        _allow(scope, "GET")
        if not parts:
            from linnet import __version__

            return Response.of(
                {
                    "name": "linnet",
                    "version": __version__,
                    "extensions": ["binary_tensor_data", "image_upload"],
                }
            )
        if parts == ["health", "live"]:
            return Response.of({"live": True})
        if parts == ["health", "ready"]:
            ready = self.ready and self._service.fleet.snapshot.leading != "none"
            return Response.of({"ready": ready}, 200 if ready else 503)
        raise RequestRejected(404, f"there is nothing at {scope.path:.200}")

    async def _model(self, scope: Any, proto: Any, name: str, parts: list[str], named: str) -> Response:
        if name != self.name:
            raise RequestRejected(404, f"model {name:.80} is not served here; {self.name} is")
        snapshot = self._service.fleet.snapshot
        version = None
        if parts and parts[0] == "versions" and len(parts) > 1:
            version, parts = parts[1], parts[2:]
            if version not in snapshot.predictors:
                raise RequestRejected(404, f"version {version:.80} is not loaded")
        if parts == ["infer"]:
            _allow(scope, "POST")
            return await self._infer(scope, proto, version, named)
        _allow(scope, "GET")
        shown = version or snapshot.leading
        if parts == ["ready"]:
            ready = shown in snapshot.predictors
            response = Response.of({"name": name, "ready": ready}, 200 if ready else 503)
        elif not parts and shown in snapshot.predictors:
            package = snapshot.predictors[shown].package
            response = Response.of(protocol.model_metadata(name, sorted(snapshot.predictors), package))
        elif not parts:
            raise RequestRejected(503, "no model version is routed yet; try again later")
        else:
            raise RequestRejected(404, f"there is nothing at {scope.path:.200}")
        response.version = shown
        return response

    async def _predict(self, scope: Any, proto: Any, named: str) -> Response:
        body = await read_body(scope.headers, proto, self._max_body)

        def work(predictor: Predictor) -> Prediction:
            return predictor.predict_upload(body, self._max_pixels)

        def render(predictor: Predictor, prediction: Prediction, milliseconds: float) -> tuple[bytes, None]:
            answer = {
                "request_id": named,
                "model": self.name,
                "version": predictor.version,
                "predictions": top_classes(predictor.classes, prediction.probabilities[0]),
                "latency_ms": round(milliseconds, 3),
            }
            return json.dumps(answer, separators=(",", ":")).encode(), None

        return await self._answer(Call(named, scope.headers.get("linnet-key"), None, work, render))

    async def _infer(self, scope: Any, proto: Any, version: str | None, named: str) -> Response:
        head = scope.headers.get(_BINARY_HEADER)
        if head is not None and not (head.isascii() and head.isdigit() and len(head) < 12):
            raise RequestRejected(400, "Inference-Header-Content-Length: must be a whole number of bytes")
        body = await read_body(scope.headers, proto, self._max_body)
        parsed: list[protocol.InferRequest] = []

        def work(predictor: Predictor) -> Prediction:
            if not parsed:  # in the worker thread, since megabytes of JSON take long; once, also if mirrored
                parsed.append(protocol.parse_request(body, int(head) if head is not None else None))
            return predictor.predict(parsed[0].images, parsed[0].features)

        def render(predictor: Predictor, prediction: Prediction, _: float) -> tuple[bytes, int | None]:
            return protocol.format_answer(
                self.name, predictor.version, parsed[0], prediction, predictor.classes
            )

        return await self._answer(Call(named, scope.headers.get("linnet-key"), version, work, render))

    async def _answer(self, call: Call) -> Response:
        outcome, finish = await self._service.answer(call)
        response = _response_of(outcome)
        response.after = finish
        if outcome.status not in (200, 500):
            self._metrics.rejected(outcome.status)
        return response


def _response_of(outcome: Outcome) -> Response:
    if outcome.error is not None:
        response = Response.failure(outcome.status, outcome.error)
    elif outcome.head is not None:
        response = Response(200, outcome.body, "application/octet-stream")
        response.headers.append((_BINARY_HEADER, str(outcome.head)))
    else:
        response = Response(200, outcome.body, JSON)
    response.version = outcome.version
    return response


def _allow(scope: Any, *methods: str) -> None:
    if scope.method not in methods:
        raise RequestRejected(405, f"{scope.method} is not allowed here; use {' or '.join(methods)}")
