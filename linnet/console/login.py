"""The login page: one form, no script."""

from __future__ import annotations

from html import escape

from linnet.console.theme import LOGO, STYLE
from linnet.pages.document import document


def login_page(wanted: str = "/", problem: str = "") -> str:
    """The form that asks for a token; `wanted` is where to go after it."""
    note = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    body = f"""
<main class="login"><form method="post" action="/login" class="card">
<div class="brand">{LOGO}<span>Linnet</span></div>
<h1>Log in</h1>
<p class="soft">Paste the token that <code>linnet up</code> printed, or open the link beside it.</p>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<input type="hidden" name="next" value="{escape(wanted)}">{note}
<button type="submit" class="button primary">Log in</button>
</form></main>"""
    return document("Log in · Linnet", STYLE, body)
