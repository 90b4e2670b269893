"""What a page of ours sends over its websocket; everything else is refused before the framework reads it.

The framework (NiceGUI over socket.io) takes a frame for what its own script sends, and answers others with
a traceback in the log.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r"[1235]|2probe|4[01]|40\{[^\x00-\x1f]*\}|43\d{1,9}\[[^\x00-\x1f]*\]")
"""Of engine.io: close, ping, pong, upgrade; of socket.io: connect, disconnect, and what acknowledges."""
_EVENT = re.compile(r"42\d{0,9}(?=\[)")
_NEEDS: dict[str, dict[str, type]] = {
    "handshake": {"client_id": str, "tab_id": str, "document_id": str},
    "event": {"client_id": str, "id": int},
    "javascript_response": {"client_id": str, "request_id": str},
    "ack": {"client_id": str, "next_message_id": int},
    "log": {"client_id": str, "level": str, "message": str},
}
_LEVELS = ("debug", "info", "warning", "error")


def is_from_a_page(text: str | None) -> bool:
    """Whether a frame is one that a page of ours sends; None: it was no text."""
    if text is None:
        return False
    if (event := _EVENT.match(text)) is None:
        return _PLAIN.fullmatch(text) is not None and (text[:2] != "40" or _is_json(text[2:] or "{}"))
    try:
        match json.loads(text[event.end() :]):
            case [str(name), dict(values)]:
                return _has_all(name, values)
    except (ValueError, RecursionError):
        pass
    return False


def _has_all(name: str, values: dict[str, Any]) -> bool:
    needs = _NEEDS.get(name)
    if needs is None or not all(isinstance(values.get(field), kind) for field, kind in needs.items()):
        return False
    arguments = values.get("args", [])
    told = isinstance(arguments, list) and all(one is None or isinstance(one, str) for one in arguments)
    return told and (name != "log" or values["level"] in _LEVELS)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
