"""Small pieces of HTML. Every text that comes from data is escaped here, so that views only compose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote, urlencode

TONES = {
    "succeeded": "good",
    "pass": "good",
    "promote": "good",
    "proceed": "good",
    "champion": "good",
    "running": "accent",
    "challenger": "accent",
    "rejected": "warn",
    "interrupted": "warn",
    "inconclusive": "warn",
    "failed": "bad",
    "fail": "bad",
    "rollback": "bad",
    "insufficient": "unknown",
}
"""The color of a state; others are gray."""
_VOID = frozenset({"img", "input", "br"})
_ADDRESSES = frozenset({"href", "src", "action", "formaction", "poster"})
_SAFE_ADDRESS = re.compile(
    r"(?!//)/|[#?]|$|https?://|data:image/(png|jpeg|webp|gif|\*);base64,", re.IGNORECASE
)
_SAFE_STYLE = re.compile(r"[a-zA-Z0-9 .,:;%#()_-]*")
"""Enough for lengths, colors and grids; no quotes, no escapes, no `url`."""
_MARKS = {"good": "✓ ", "bad": "✗ ", "unknown": "? "}


class Html(str):
    """Markup that is safe to place in a page; a plain `str` is text, and is escaped."""

    __slots__ = ()


def safe(value: object) -> str:
    """A value as markup: Html as it is, every other text escaped."""
    return value if isinstance(value, Html) else escape(str(value))


def join(parts: Iterable[object]) -> Html:
    """Parts one after another."""
    return Html("".join(safe(part) for part in parts))


def attribute(name: str, value: object) -> str:
    """A value as that of an attribute, a style or an address: the one place where data becomes one.

    An address that would run script, or a handler of events, is never made of data: it is left empty.
    """
    text = str(value)
    if name in _ADDRESSES and not _SAFE_ADDRESS.match(text):
        text = "#"
    if name.startswith("on") or name == "srcdoc" or (name == "style" and not is_style(text)):
        text = ""
    return escape(text)


def is_style(text: str) -> bool:
    """Whether a style holds only lengths, colors, grids and the page's own variables: it loads nothing."""
    return _SAFE_STYLE.fullmatch(text) is not None and "url" not in text.lower()


def address(*parts: object, **query: object) -> str:
    """An address of the console, such as `/runs/ID?step=train`: every part and value is quoted."""
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    return path + (f"?{urlencode(query)}" if query else "")


def tag(element: str, /, *content: object, **attributes: object) -> Html:
    """An element; `class_` stands for class, other underscores for hyphens; None leaves one out."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    words = "".join(
        f' {name}="{attribute(name, value)}"' for name, value in named.items() if value is not None
    )
    end = "" if element in _VOID else f"</{element}>"
    return Html(f"<{element}{words}>{join(content)}{end}")


def link(text: object, target: str) -> Html:
    """A link to another page."""
    return tag("a", text, href=target)


def chip(state: str, tone: str = "", mark: bool = False) -> Html:
    """A state in its color; `mark` sets a tick or a cross before it, for who does not see colors."""
    tone = tone or TONES.get(state, "")
    return tag("span", _MARKS.get(tone, "") if mark else "", state, class_=f"chip {tone}".strip())


def split_bar(share: float) -> Html:
    """How traffic is split: `share` percent is the candidate's."""
    return tag(
        "div",
        tag("i", style=f"width:{100 - share:g}%"),
        tag("i", style=f"width:{share:g}%") if share else "",
        class_="split",
        role="img",
        aria_label=f"{100 - share:g} % champion, {share:g} % candidate",
    )


def when(moment: datetime | None, ago: bool = False) -> Html:
    """A moment: the reader's browser writes it in its own zone, and shows UTC when hovered."""
    if moment is None:
        return Html("–")
    utc = f"{moment:%Y-%m-%d %H:%M}"
    kind = "ago" if ago else "at"
    return tag(
        "time",
        f"{utc} UTC",
        datetime=moment.isoformat(),
        title=f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        data_as=kind,
    )


def tile(name: str, value: object, note: object = "", tone: str = "", target: str = "") -> Html:
    """One figure with its name and a remark; a link where there is more to see."""
    content = (tag("span", name), tag("b", value), tag("span", note) if note else "")
    style = f"tile {tone}".strip()
    return tag("a", *content, class_=style, href=target) if target else tag("div", *content, class_=style)


def tiles(*content: Html) -> Html:
    """Tiles side by side."""
    return tag("div", *content, class_="tiles")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", marked: int = -1) -> Html:
    """A table. A heading that begins with `?` may hide on a phone; one with `>`, also after it, is of numbers."""
    kinds = [_kind(name) for name in head]
    heads = [
        tag("th", name.lstrip(">?"), class_=kind, scope="col") if name else tag("td")
        for name, kind in zip(head, kinds, strict=True)
    ]
    body = [
        tag(
            "tr",
            *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)),
            class_="mark" if index == marked else None,
        )
        for index, row in enumerate(rows)
    ]
    inner = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), aria_label=caption or None)
    return tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=caption or "table")


def _kind(name: str) -> str | None:
    words = ("optional " if name.startswith("?") else "") + ("n" if name.lstrip("?").startswith(">") else "")
    return words.strip() or None


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and values, one below another."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in pairs), class_="facts")


def card(title: str, *content: object) -> Html:
    """A box with a heading."""
    return tag("div", tag("h2", title) if title else "", *content, class_="card")


def section(title: str, *content: object) -> Html:
    """A part of a page."""
    return tag("section", tag("h2", title) if title else "", *content)


def of_all(shown: int, total: int, what: str) -> Html:
    """What a table says below itself where it does not show all, such as `20 of 64 lines`."""
    return tag("p", f"{shown:,} of {total:,} {what}.", class_="soft small") if shown < total else Html("")


def empty(title: str, hint: str) -> Html:
    """What stands where there is nothing yet: what it will be, and how to get there."""
    return tag(
        "div", tag("b", title), tag("p", hint if isinstance(hint, Html) else prose(hint)), class_="empty"
    )


def prose(text: str) -> Html:
    """A sentence in which `code` stands between backticks."""
    parts = text.split("`")
    return join(tag("code", part) if index % 2 else part for index, part in enumerate(parts))


def left_out(why: Iterable[str]) -> Html:
    """What cannot be read, and so is missing from a page: a line each."""
    return join(problem(f"left out, as it cannot be read: {one}") for one in why)


def problem(text: str) -> Html:
    """An error, for a person."""
    return tag("p", prose(text), class_="problem", role="alert")


def heading(title: object, about: object = "", crumb: object = "") -> Html:
    """The head of a page."""
    above = tag("div", crumb, class_="crumb") if crumb else ""
    return tag("div", above, tag("h1", title), tag("p", about) if about else "", class_="what")


def bar(share: float, warm: bool = False) -> Html:
    """A share as a bar."""
    width = f"width:{100 * min(max(share, 0.0), 1.0):.1f}%"
    return tag(
        "span", tag("i", style=width, class_="warm" if warm else None), class_="bar", aria_hidden="true"
    )


def pager(page: int, size: int, total: int, target: str) -> Html:
    """Links to the page before and after; nothing where all fits on one."""
    last = max(0, (total - 1) // size)
    if not last:
        return Html("")
    sign = "&" if "?" in target else "?"
    earlier = link("← Previous", f"{target}{sign}page={page - 1}") if page else ""
    later = link("Next →", f"{target}{sign}page={page + 1}") if page < last else ""
    shown = f"{page * size + 1}–{min(total, (page + 1) * size)} of {total:,}"
    return tag("div", earlier, tag("span", shown), later, class_="pager")
