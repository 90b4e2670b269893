"""The application of a worker process: finds the route, translates HTTP, answers every error as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from linnet import __version__
from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.serving import about, protocol
from linnet.serving.access import AccessControl
from linnet.serving.callers import Callers
from linnet.serving.form import answer_to_form, files_of, ids_of_files, is_form
from linnet.serving.messages import (
    JSON,
    MODEL_HEADER,
    REQUEST_HEADER,
    VERSION_HEADER,
    Request,
    Response,
    request_id,
    too_large,
)
from linnet.serving.metrics import Metrics
from linnet.serving.models import named
from linnet.serving.predictor import Prediction, Predictor
from linnet.serving.quarantine import Quarantine
from linnet.serving.served_model import ServedModel
from linnet.serving.service import Call, Inputs, PredictionOutcome
from linnet.serving.upload import PNG, decodes_soon, entity_of, seconds_of, wants_picture
from linnet.tasks.picture import picture_of

logger = logging.getLogger(__name__)
_BINARY_HEADER = "inference-header-content-length"
_LONG_JSON = 65_536
"""Bytes of JSON from which parsing goes to a thread."""
_BINARY_PATIENCE = 1 << 20
"""Bytes of a binary request up to which it is read on the event loop: no more than a copy."""

Elsewhere = Callable[[Request], Awaitable[Response]]
"""Answers what concerns all workers: admin, repository, metrics, feedback."""
Wake = Callable[[ServedModel], Awaitable[None]]
"""Loads a model that sleeps. Raises RequestRejected, 503, if that takes long."""


class App:
    """Routes of the server: Open Inference Protocol v2, image upload, metrics, and admin."""

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        access: AccessControl,
        elsewhere: Elsewhere,
        wake: Wake,
        config: ServingConfig,
        quarantine: Quarantine | None = None,
    ) -> None:
        """`models` by name, as they are opened and closed; `elsewhere` answers what is not this worker's;
        `wake` has a model loaded that sleeps.

        `config`: the server's, for who may call and how large an answer may be; `quarantine`: keeps some of
        what is refused.
        """
        self._quarantine = quarantine
        self.ready = True
        self.unnamed = Metrics("")
        """Counts what was refused and meant none of the models, or nobody can say which of several."""
        self._models, self._access, self._forward_to_supervisor = models, access, elsewhere
        self._wake = wake
        self._callers, self._max_answer = Callers(config), round(config.max_answer_mb * 1_000_000)
        self._max_tensor = round(config.max_tensor_mb * 1_000_000)

    async def handle(self, request: Request) -> Response:
        """Answers one request; nothing that happens inside reaches the client as a traceback."""
        request_name: str | None = None
        model: ServedModel | None = None
        rejected = request.rejected
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        try:
            model = self._meant(parts) or self._only()
        except RequestRejected as error:  # one that names another model is not booked on the only one
            rejected = rejected or error
        try:
            if rejected is not None:
                with contextlib.suppress(RequestRejected):  # one refusal is enough
                    request_name = request_id(request.headers)
                raise rejected
            request_name = request_id(request.headers)
            response = await self._route(request, parts, model, request_name)
        except RequestRejected as error:
            self._refused(request, request_name, model, error)
            response = Response.failure(error.status, error.problem)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            self._refused(request, request_name, model, RequestRejected(500, "see the server's log"))
            response = Response.failure(500, "the server failed on this request; its log has the reason")
        if model is not None:
            version = response.version or model.fleet.snapshot.leading
            response.headers += ((MODEL_HEADER, model.header), (VERSION_HEADER, version))
            if response.status in (429, 503):
                response.headers.append(("retry-after", str(model.service.retry_after())))
        elif response.status in (429, 503):
            response.headers.append(("retry-after", "1"))
        if request_name is not None:
            response.headers.append((REQUEST_HEADER, request_name))
        if response.status == 401:
            response.headers.append(("www-authenticate", "Bearer"))
        return response

    def _only(self) -> ServedModel | None:
        """The one model that is served; None where there are several, or none."""
        return next(iter(self._models.values())) if len(self._models) == 1 else None

    def _meant(self, parts: list[str]) -> ServedModel | None:
        """The model that an address is about; None: about no single one.

        Raises:
            RequestRejected: 404, it is not served here; 400, it must be named; 503, none is served.
        """
        if parts[0] in ("predict", "feedback") and len(parts) <= 2:
            return named(self._models, parts[1] if len(parts) == 2 else None, f"/{parts[0]}/NAME")
        if parts[:2] == ["v2", "models"] and len(parts) > 2:
            return named(self._models, parts[2], "/v2/models/NAME")
        return None

    def _refused(
        self, request: Request, request_name: str | None, model: ServedModel | None, refusal: RequestRejected
    ) -> None:
        """Counts a refusal and offers its request to the quarantine, if a prediction was asked for."""
        (model.metrics if model is not None else self.unnamed).rejected(refusal.status, refusal.reason)
        self._quarantined(request, request_name, model, refusal)

    def _quarantined(
        self, request: Request, request_name: str | None, model: ServedModel | None, refusal: RequestRejected
    ) -> None:
        if self._quarantine is not None and _asks_for_a_prediction(request):
            name = model.name if model is not None else ""
            meant = [model] if model is not None else self._models.values()  # nobody knows whose it was
            self._quarantine.offer(request, request_name or "", name, refusal, [m.settings for m in meant])

    def _admit(self, request: Request, model: ServedModel) -> None:
        """Whether the sender may ask a model. Raises RequestRejected: see AccessControl."""
        required = model.settings.require_key
        self._access.admit(request.headers, "infer", model.name, required=required)

    async def _route(
        self, request: Request, parts: list[str], model: ServedModel | None, request_name: str
    ) -> Response:
        self._callers.check_origin(request.method, request.headers)
        if parts[0] in ("admin", "feedback") or parts[:2] == ["v2", "repository"]:
            self._callers.check_host(request.headers)
        if parts[0] == "v2":
            return await self._v2(request, parts[1:], model, request_name)
        if parts[0] == "predict" and len(parts) <= 2:
            assert model is not None
            _allow(request, "POST")
            self._admit(request, model)
            return await self._predict(request, model, request_name)
        if parts[0] == "admin":
            self._access.admit(
                request.headers, "admin", parts[2] if parts[1:2] == ["models"] and parts[2:] else None
            )
            return await self._forward_to_supervisor(request)
        if parts[0] == "feedback" and len(parts) <= 2:
            assert model is not None
            _allow(request, "POST")
            self._admit(request, model)
            return await self._forward_to_supervisor(request)
        if parts == ["metrics"]:
            _allow(request, "GET", "HEAD")
            return await self._forward_to_supervisor(request)
        if (told := self._about_itself(request, parts)) is not None:
            return told
        raise RequestRejected(404, f"no such route: {request.path:.200}")

    def _about_itself(self, request: Request, parts: list[str]) -> Response | None:
        """What this is, for people and programs; None where that is not asked."""
        if parts not in ([""], ["docs"], ["openapi.json"]):
            return None
        _allow(request, "GET", "HEAD")
        if parts == ["openapi.json"]:
            return Response(200, about.openapi())
        if parts == [""] and "text/html" not in request.headers.get("accept", ""):
            return Response.of(about.summary(sorted(self._models)))
        page = about.page(about.address(request.headers), sorted(self._models))
        return Response(200, page.encode(), about.HTML, headers=[about.NO_SCRIPT])

    async def _v2(
        self, request: Request, parts: list[str], model: ServedModel | None, request_name: str
    ) -> Response:
        if parts == ["models"]:
            _allow(request, "GET", "HEAD")
            self._access.admit(request.headers, "infer")
            return await self._forward_to_supervisor(request)
        if parts[0:1] == ["models"]:
            assert model is not None
            return await self._model(request, model, parts[2:], request_name)
        if parts and parts[0] == "repository":
            named_model = parts[2] if parts[1:2] == ["models"] and parts[2:] else None
            self._access.admit(request.headers, "infer" if parts[1:] == ["index"] else "admin", named_model)
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
        """Ready as soon as a model answers: one that cannot be loaded keeps no other from being asked."""
        ready = self.ready and any(
            model.asleep or model.fleet.snapshot.leading != "none" for model in self._models.values()
        )
        return Response.of({"ready": ready}, 200 if ready else 503)

    async def _model(
        self, request: Request, model: ServedModel, parts: list[str], request_name: str
    ) -> Response:
        if parts[-1:] == ["infer"] or (model.asleep and parts[-1:] != ["ready"]):
            self._admit(request, model)
            if model.asleep:
                await self._wake(model)
        snapshot = model.fleet.snapshot
        version = None
        if parts and parts[0] == "versions" and len(parts) > 1:
            version, parts = parts[1], parts[2:]
            if version not in snapshot.predictors:
                raise RequestRejected(404, f"version {version:.80} is not loaded")
        if parts == ["infer"]:
            _allow(request, "POST")
            return await self._infer(request, model, version, request_name)
        shown = version or snapshot.leading
        if parts == ["ready"]:
            _allow(request, "GET", "HEAD")
            # One that sleeps answers, if later than usual: whoever watches must not take it for broken.
            ready = self.ready and (shown in snapshot.predictors or (model.asleep and version is None))
            response = Response.of({"name": model.name, "ready": ready}, 200 if ready else 503)
        elif parts:
            raise RequestRejected(404, f"no such route: {request.path:.200}")
        else:
            _allow(request, "GET", "HEAD")
            if shown not in snapshot.predictors:
                raise RequestRejected(503, "no model version is routed yet; try again later")
            package = snapshot.predictors[shown].package
            response = Response.of(protocol.model_metadata(model.name, sorted(snapshot.predictors), package))
        response.version = shown
        return response

    async def _predict(self, request: Request, model: ServedModel, request_name: str) -> Response:
        """Answers about an image, or about each of a form's: a bad one hides none of the others."""
        if not is_form(request.headers):
            return await self._predict_image(request, model, request_name)
        files = files_of(request.body, request.headers)
        if len(files) == 1:
            return await self._predict_image(replace(request, body=files[0].data), model, request_name)
        if wants_picture(request.headers):
            raise RequestRejected(406, f"Accept: {PNG} is of one image; send each alone, or ask for JSON")
        names = ids_of_files(request_name, len(files))

        async def one(data: bytes, name: str) -> Response:
            alone = replace(request, body=data)
            try:
                return await self._predict_image(alone, model, name)
            except RequestRejected as error:
                self._refused(alone, name, model, error)
                return Response.failure(error.status, error.problem)

        answers = await asyncio.gather(*map(one, (file.data for file in files), names))
        return answer_to_form(request_name, files, names, answers)

    async def _predict_image(self, request: Request, model: ServedModel, request_name: str) -> Response:
        body, pictured = request.body, wants_picture(request.headers)
        model.check_size(body)
        if model.asleep:
            await self._wake(model)

        def prepare(predictor: Predictor) -> Inputs:
            if pictured and picture_of(predictor.package.task) is None:
                raise RequestRejected(406, f"Accept: the answers of this model are no {PNG}; ask for JSON")
            return predictor.image_of(body), None

        def render(predictor: Predictor, prediction: Prediction, milliseconds: float) -> tuple[bytes, None]:
            if pictured and (picture := picture_of(predictor.package.task)):
                return picture(prediction.output[0]), None
            answer = {
                "request_id": request_name,
                "model": model.name,
                "version": predictor.version,
                "predictions": predictor.answer.listed(prediction.output[0]),
                "latency_ms": round(milliseconds, 3),
            }
            return json.dumps(answer, separators=(",", ":")).encode(), None

        heavy = not decodes_soon(body)
        response = await self._answer(request, model, request_name, None, prepare, render, heavy)
        if pictured and response.status == 200:
            response.content_type = PNG
        return response

    async def _infer(
        self, request: Request, model: ServedModel, version: str | None, request_name: str
    ) -> Response:
        if len(request.body) > self._max_tensor:
            raise too_large(len(request.body), self._max_tensor, "serving.max_tensor_mb", "send fewer images")
        head = request.headers.get(_BINARY_HEADER)
        if head is not None and not (head.isascii() and head.isdigit() and len(head) < 12):
            raise RequestRejected(400, "Inference-Header-Content-Length: must be a whole number of bytes")
        length = int(head) if head is not None else None
        model.check_size(request.body)
        parsed: list[protocol.InferRequest] = []

        def prepare(predictor: Predictor) -> Inputs:
            if not parsed:  # once, also if it is mirrored
                parsed.append(protocol.parse_request(request.body, length, predictor.answer.output_name))
                values = math.prod(predictor.model.row_shape)
                protocol.check_answer(parsed[0], values, predictor.embedding, self._max_answer)
            return parsed[0].images, parsed[0].features

        def render(predictor: Predictor, prediction: Prediction, _: float) -> tuple[bytes, int | None]:
            return protocol.format_answer(
                model.name, predictor.version, parsed[0], prediction, predictor.answer
            )

        json_size = len(request.body) if length is None else length
        heavy = json_size > _LONG_JSON or len(request.body) > _BINARY_PATIENCE
        told = lambda: parsed[0].parameters if parsed else {}  # noqa: E731
        return await self._answer(request, model, request_name, version, prepare, render, heavy, told)

    async def _answer(
        self,
        request: Request,
        model: ServedModel,
        request_name: str,
        version: str | None,
        prepare: Any,
        render: Any,
        heavy: bool,
        parameters: Callable[[], Mapping[str, Any]] = dict,
    ) -> Response:
        """`parameters`: of the request's body, as far as it was read."""
        model.touch()
        headers = request.headers
        key, entity, wait = headers.get("linnet-key"), entity_of(headers), seconds_of(headers)
        header = model.segments.in_header(headers)
        segments = lambda: model.segments.of(header, parameters())  # noqa: E731
        call = Call(request_name, key, version, prepare, render, heavy, entity, wait, segments)
        outcome, finish = await model.service.answer(call)
        response = _response_of(outcome)
        response.after = finish
        if outcome.refusal is not None:
            self._refused(request, request_name, model, outcome.refusal)
        elif outcome.status == 500:  # counted as the version's failure, not as a refusal
            self._quarantined(request, request_name, model, RequestRejected(500, outcome.error or ""))
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


def _asks_for_a_prediction(request: Request) -> bool:
    return request.path.startswith("/predict") or request.path.endswith("/infer")


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise RequestRejected(405, f"{request.method:.20} is not allowed here; use {' or '.join(methods)}")
