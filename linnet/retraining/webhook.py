"""The web side of retraining: Alertmanager's webhook, and the metrics that its alerts are made of.

A router, to be mounted where the engine listens. A notification is taken as a reason to ask the policy,
never as an order: duplicates and flapping alerts cost a line in the ledger.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from linnet.errors import LinnetError, RetrainingError
from linnet.retraining.trigger import Trigger
from linnet.storage.paths import state_dir
from linnet.storage.secret_file import secret_in

MAX_BODY = 1_000_000
"""Bytes; Alertmanager's notification of a thousand alerts has about that."""
MOST_ALERTS = 50
"""Names of alerts that one decision's actor lists."""


def webhook_token() -> str:
    """The token that Alertmanager must send, made at the first call and kept in the state folder."""
    return secret_in(state_dir() / "retraining" / "token")


def retraining_router(
    token: str, trigger_of: Callable[[str], Trigger], metrics: Callable[[], bytes]
) -> APIRouter:
    """POST /retraining/alerts and GET /retraining/metrics.

    Args:
        token: what `Authorization: Bearer` must carry for alerts.
        trigger_of: the trigger of a model; raises a LinnetError for one that it does not know.
        metrics: Prometheus text of what monitoring and policy know.
    """
    router = APIRouter(prefix="/retraining")

    @router.post("/alerts")
    async def alerts(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return _failure(401, "Authorization: Bearer with the webhook's token is needed")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return _failure(413, f"a notification may have {MAX_BODY} bytes")
        try:
            asking, unclear = firing(json.loads(body))
            if unclear and not asking:
                raise ValueError(unclear[0])
        except (ValueError, RecursionError) as error:
            return _failure(400, f"not a notification of Alertmanager: {error}")
        return await run_in_threadpool(_consider, asking, unclear, trigger_of)

    @router.get("/metrics")
    def expose() -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4")

    return router


def firing(notification: Any) -> tuple[dict[str, list[str]], list[str]]:
    """Model -> names of its alerts that fire and ask for retraining; a model once, however many alerts.

    Beside it, what is wrong with alerts that are passed over.

    Raises:
        ValueError: it is no notification.
    """
    alerts = notification.get("alerts") if isinstance(notification, dict) else None
    if not isinstance(alerts, list):
        raise ValueError("there is no list `alerts`")
    found: dict[str, list[str]] = {}
    unclear: list[str] = []
    for alert in alerts:
        labels = alert.get("labels") if isinstance(alert, dict) else None
        if not isinstance(labels, dict):
            unclear.append("an alert has no `labels`")
            continue
        if alert.get("status") != "firing" or labels.get("retraining") != "consider":
            continue
        name, model = labels.get("alertname"), labels.get("model")
        if not isinstance(name, str) or not isinstance(model, str):
            unclear.append("an alert's labels name no `alertname` and `model`")
            continue
        if name not in found.setdefault(model, []):
            found[model].append(name)
    return found, unclear


def _consider(
    asking: dict[str, list[str]], unclear: list[str], trigger_of: Callable[[str], Trigger]
) -> Response:
    decisions: list[dict[str, Any]] = []
    problems: list[str] = []
    for model, names in asking.items():
        try:
            decision = trigger_of(model).decide("alert", f"alertmanager: {', '.join(names[:MOST_ALERTS])}")
        except RetrainingError as error:
            problems.append(f"{model}: {error}")
            continue
        except LinnetError as error:
            decisions.append({"model": model, "request": False, "reason": str(error)})
            continue
        decisions.append({"model": model, "request": decision.request, "reason": decision.reason})
    answer = {"decisions": decisions} | ({"passed_over": unclear} if unclear else {})
    if problems:  # Alertmanager tries again after a 5xx; who was asked already answers the same
        return JSONResponse({"error": "; ".join(problems), **answer}, 503)
    return JSONResponse(answer)


def _failure(status: int, problem: str) -> Response:
    return JSONResponse({"error": problem}, status)
