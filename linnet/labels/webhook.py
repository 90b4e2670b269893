"""Takes Label Studio's webhooks: checks who speaks, queues the message durably, and wakes the reconciler.

A message only says "look now": what counts is what the reconciler then finds. So a dropped, doubled,
reordered or replayed message changes nothing, and the answer is given within a second whatever a look
at the server takes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linnet.errors import StorageError
from linnet.labels.rounds import Rounds
from linnet.labels.store import database
from linnet.storage.secret_file import secret_in

SECRET_HEADER, SIGNATURE_HEADER, TIME_HEADER = "X-Linnet-Secret", "X-Linnet-Signature", "X-Linnet-Time"
PATH = "/labels/{name}/webhook"
_MAX_BYTES = 4 << 20
_MAX_AGE_S = 300.0


def routes(name: str, wake: Callable[[], None], clock: Callable[[], float] = time.time) -> list[Route]:
    """The receiver's routes, to mount in any ASGI app.

    Answers 202 to a new message, 200 to one that came before, 401 without the secret, 413 or 400 to
    what is too large or no JSON, 503 where it cannot be queued (nothing is then promised).

    Args:
        name: The dataset; its secret is `webhook_secret(name)`.
        wake: Called after a message was queued; must return at once.
        clock: Seconds since the epoch.
    """

    async def receive(request: Request) -> JSONResponse:
        if request.path_params["name"] != name:
            return JSONResponse({"error": f"no labels of '{request.path_params['name']}' here"}, 404)
        if int(request.headers.get("content-length") or 0) > _MAX_BYTES:
            return JSONResponse({"error": "too large"}, 413)
        body = await request.body()
        if problem := refusal_reason(webhook_secret(name), request.headers, body, clock()):
            return JSONResponse({"error": problem}, 401)
        try:
            action = str(json.loads(body)["action"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "it is not a Label Studio message"}, 400)
        try:
            fresh = await run_in_threadpool(Rounds(name).take_event, action, body)
        except StorageError as error:
            return JSONResponse({"error": str(error)}, 503)
        wake()
        return JSONResponse({"queued": fresh}, 202 if fresh else 200)

    return [Route(PATH, receive, methods=["POST"])]


def refusal_reason(secret: str, headers: object, body: bytes, now: float) -> str:
    """Why a message is not from our server; empty: it is.

    Label Studio sends the shared secret as a header of the hook. A sender that can sign gives an HMAC
    instead: hex SHA-256 over `TIME.BODY` under the secret, with TIME at most 5 minutes away.
    """
    get = getattr(headers, "get", lambda *_: "")
    if signature := get(SIGNATURE_HEADER, ""):
        moment = get(TIME_HEADER, "")
        try:
            age = abs(now - float(moment))
        except ValueError:
            return f"{TIME_HEADER} is not a number of seconds"
        if not age <= _MAX_AGE_S:
            return "the signature is too old"
        wanted = sign(secret, moment, body)
        return "" if hmac.compare_digest(signature.encode(), wanted.encode()) else "the signature is wrong"
    given = get(SECRET_HEADER, "")
    return "" if hmac.compare_digest(given.encode(), secret.encode()) else f"{SECRET_HEADER} is wrong"


def sign(secret: str, moment: str, body: bytes) -> str:
    """The signature of a message."""
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()


def webhook_secret(name: str) -> str:
    """The dataset's shared secret; made at the first call, readable by its owner only."""
    return secret_in(secret_file(name))


def secret_file(name: str) -> Path:
    """Where the secret lies."""
    return database(name).with_name("webhook.secret")
