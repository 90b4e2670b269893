"""What a browser may do with the console's answers: a policy without inline script, and its companions.

The framework asks for two things that a strict policy would forbid. NiceGUI runs what its server sends by
`eval` (nicegui/static/nicegui.js: `runJavascript`, handlers and props that begin with a colon), so that
'unsafe-eval' stays; no data is ever a part of such code. Vue and Quasar set styles on elements, so that
styles may be inline. Scripts may not: those of NiceGUI's page carry a nonce, ours are files.
"""

from __future__ import annotations

import re
from typing import Any

NONCE = "linnet_nonce"
"""Key of the request's scope."""
_INLINE = 4
"""Scripts without an address in NiceGUI's page, unconditional or chosen by us; see `nonces`."""
_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)")
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)


def policy(nonce: str) -> bytes:
    """The policy of an answer; its inline scripts are those with the nonce."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "script-src-attr 'none'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ).encode()


def hardened(headers: list[tuple[bytes, bytes]], nonce: str) -> list[tuple[bytes, bytes]]:
    """An answer's headers with what is missing of these; one with a policy of its own keeps it."""
    known = {name.lower() for name, _ in headers}
    added = [*ALWAYS, (b"content-security-policy", policy(nonce))]
    return [*headers, *((name, value) for name, value in added if name not in known)]


def nonces() -> None:
    """Gives every inline script of NiceGUI's own page the request's nonce.

    It is the template that is changed, before any data is in it: a script that data brings gets none.
    """
    from jinja2 import ChoiceLoader, DictLoader
    from nicegui.client import templates

    environment: Any = templates.env
    source, _, _ = environment.loader.get_source(environment, "index.html")
    changed, count = _SCRIPT.subn(f"<script nonce=\"{{{{ request.scope['{NONCE}'] }}}}\"", source)
    assert count >= _INLINE, f"NiceGUI's page has {count} inline scripts: look at its template anew"
    environment.loader = ChoiceLoader([DictLoader({"index.html": changed}), environment.loader])
    environment.cache.clear()
