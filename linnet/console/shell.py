"""The frame of every page: navigation, heading, and its loading and error states."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from nicegui import run, ui

from linnet.console.markup import Html, heading, join, link, problem, tag
from linnet.console.sessions import Role
from linnet.console.theme import LOGO
from linnet.errors import LinnetError

T = TypeVar("T")
E = TypeVar("E", bound=ui.element)
logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 0.5
"""How long a page waits for its data before it shows itself with a placeholder."""


@dataclass(frozen=True)
class NavItem:
    """One entry of the side bar."""

    name: str
    path: str
    icon: str
    """Content of an SVG of 24 by 24."""


HEAD = '<script src="/console/console.js"></script>'


_navigation: list[NavItem] = []


def add_to_navigation(item: NavItem) -> None:
    """Adds an entry at the end of the side bar, once."""
    if item not in _navigation:
        _navigation.append(item)


def navigation(current: str, role: Role) -> Html:
    """The side bar."""
    links = [
        tag(
            "a",
            Html(f'<svg viewBox="0 0 24 24" aria-hidden="true">{item.icon}</svg>'),
            item.name,
            href=item.path,
            aria_current="page" if item.name == current else None,
        )
        for item in _navigation
    ]
    foot = tag(
        "div",
        tag("span", f"Logged in as {role}", class_="who"),
        tag("button", "Toggle theme", type="button", data_theme_switch=""),
        tag("form", tag("button", "Log out", type="submit"), method="post", action="/logout"),
        class_="foot",
    )
    brand = tag(
        "a", Html(LOGO), tag("span", "Linnet"), href="/", class_="brand", aria_label="Linnet, overview"
    )
    return join([brand, tag("nav", *links, aria_label="Pages"), foot])


@contextmanager
def frame(current: str, role: Role) -> Iterator[None]:
    """The page around what is drawn inside."""
    html('<a class="skip" href="#main">Skip to the content</a>')
    with ui.element("div").classes("frame"):
        html(navigation(current, role), "aside").classes("side")
        with ui.element("div").classes("page").props("id=main"):
            yield


def labelled(element: E, label: str) -> E:
    """Names an element for who does not see it.

    Data goes into a prop as a value and never through `props("...")`, whose text is parsed: a quote in it
    would end the value, and a prop that begins with a colon is run as script in the browser.
    """
    element.props["aria-label"] = label
    return element


def html(content: str, name: str = "div") -> ui.html:
    """Markup made by our own views, where every text was escaped."""
    return ui.html(content, sanitize=False, tag=name)


def choice(page: str, model: str, models: Sequence[str]) -> Html:
    """Names the model that a page is about, and links to the same page of each other one."""
    if not model:
        return Html("")
    others = [
        tag("b", name, aria_current="page") if name == model else link(name, f"{page}?model={quote(name)}")
        for name in models
    ]
    words = join(part for name in others for part in (name, " "))
    return tag(
        "nav", "Model: ", words if len(models) > 1 else tag("b", model), class_="soft", aria_label="Model"
    )


def head(title: object, about: object = "", crumb: object = "") -> None:
    """The page's heading alone."""
    html(heading(title, about, crumb)).classes("top")


async def shown(load: Callable[[], T], draw: Callable[[T], Any]) -> None:
    """Loads in a thread and draws: at once if that is quick, else in place of a placeholder.

    An error that is meant for a person is shown; another one is logged, and said to be.
    """
    place = ui.element("div")
    task = asyncio.ensure_future(run.io_bound(_caught, load))
    done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    if not done:
        with place:
            html(tag("div", class_="skeleton", role="status", aria_label="Loading"))
        await ui.context.client.connected()
    outcome = await task
    if place.is_deleted:  # the reader has gone on to another page
        return
    place.clear()
    with place:
        if outcome is None:  # the server is going down
            return
        if outcome.error:
            html(problem(outcome.error))
        else:
            draw(outcome.value)


@dataclass(frozen=True)
class _Outcome:
    value: Any
    error: str


def _caught(load: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(load(), "")
    except LinnetError as error:
        return _Outcome(None, str(error))
    except Exception:
        logger.exception("a page could not be loaded")
        return _Outcome(None, "This did not work; the server's log says why.")


def confirm(
    title: str, text: str, word: str, act: Callable[[str], str], danger: bool = False
) -> Callable[[], None]:
    """A dialog that asks once more and wants a reason; returns what opens it.

    `act` gets the reason, works in a thread, and returns the address to go to.
    """
    with labelled(ui.dialog(), title) as dialog, ui.card().classes("dialog"):
        html(tag("div", tag("h2", title), tag("p", text, class_="soft")))
        reason = (
            ui.input("Why? It is recorded in the ledger.")
            .props("outlined dense autofocus")
            .style("width:100%;margin-bottom:14px")
        )
        said = html("")

        async def go() -> None:
            if not (reason.value or "").strip():
                said.set_content(problem("Give a reason."))
                return
            button.disable()
            done = await run.io_bound(_caught, lambda: act(reason.value.strip()))
            button.enable()
            if done is None or done.error:
                said.set_content(problem(done.error if done else "The server is going down."))
            else:
                dialog.close()
                ui.navigate.to(done.value)

        with ui.element("div").classes("actions"):
            button = Button(word, go, "danger" if danger else "primary")
            Button("Cancel", dialog.close)

    def ask() -> None:
        dialog.open()

    return ask


class Button(ui.element):
    """A button as the stylesheet draws it, without Quasar's ripple and capitals."""

    def __init__(self, text: str, on_click: Callable[[], Any], kind: str = "") -> None:
        super().__init__("button")
        self.classes(f"button {kind}".strip()).props("type=button")
        with self:
            html(tag("span", text), "span")
        self.on("click", lambda: on_click())

    def enable(self) -> None:
        """Lets it be pressed again."""
        self.props(remove="disabled")

    def disable(self) -> None:
        """While its work is under way."""
        self.props("disabled")
