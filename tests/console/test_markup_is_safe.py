"""Where data becomes an attribute, a style, an address or a prop: one place each, and nothing beside it."""

from __future__ import annotations

import ast
from html.parser import HTMLParser
from pathlib import Path

import pytest

import linnet.console
from linnet.console.content_security import nonces
from linnet.console.markup import Html, address, heading, link, prose, tag

HOSTILE = (
    '" onmouseover="alert(1)',
    "' :onclick='alert(1)'",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "`;alert(1);`",
    "${alert(1)}",
    "{{alert(1)}}",
    "javascript:alert(1)",
    "\u2028alert(1)",
    "a\x00b",
    "../../etc/passwd",
    "?x=1#y",
)
FOLDER = Path(linnet.console.__file__).parent


class Elements(HTMLParser):
    """The elements and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((element, dict(attributes)))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_text_in_every_piece(name: str) -> None:
    pieces = [tag("b", name), tag("b", title=name, class_=name), link(name, address("models", name, name))]
    pieces += [
        heading(name, name, name),
        prose(name),
        tag("form", action=name),
        tag("img", src=name, alt=name),
    ]
    for piece in pieces:
        for element, attributes in Elements(piece).seen:
            assert element in {"b", "a", "div", "h1", "p", "form", "img", "code"}, piece
            assert not {word for word in attributes if word.startswith("on") or word == "srcdoc"}, piece
            for where in ("href", "src", "action"):
                assert not (attributes.get(where) or "").lower().lstrip().startswith("javascript"), piece


@pytest.mark.parametrize("name", HOSTILE)
def test_address_is_a_path_of_our_own_with_as_many_parts_as_were_meant(name: str) -> None:
    made = address("models", name, "1", step=name)
    path = made.partition("?")[0]
    assert path.count("/") == 3 and made.startswith("/models/") and made.isprintable()
    assert not set(made) & set("\"'<>` \\{}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,<script>alert(1)</script>", False),
        ("data:image/svg+xml;base64,AAAA", False),
        ("vbscript:x", False),
        ("//attacker.example", False),
        ("https://example.org/x", True),
        ("/runs", True),
        ("#main", True),
        ("data:image/png;base64,AAAA", True),
    ],
)
def test_address_that_would_run_script_is_left_out(given: str, kept: bool) -> None:
    assert (f'href="{given}"' in tag("a", "x", href=given)) is kept


def test_handlers_and_loading_styles_are_left_out() -> None:
    made = tag("b", "x", onclick="alert(1)", srcdoc="<script>", style="background:url(//attacker.example)")
    assert "alert" not in made and "script" not in made and "attacker" not in made
    assert 'style="width:12.5%"' in tag("b", "x", style="width:12.5%")


PARSED = {"props", "style", "classes", "run_javascript", "add_head_html", "add_body_html", "add_css"}
"""Methods of NiceGUI whose text is parsed, or run."""
FIXED = {("app.py", "add_head_html"), ("shell.py", "classes"), ("try_it.py", "add_head_html")}
"""Made of our own constants: the style sheet, a script's address, the kind of a button."""


def test_no_data_goes_into_what_nicegui_parses() -> None:
    """`props(f'aria-label="{title}"')` ran script when an operator pressed Promote."""
    found = set()
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in PARSED and any(not isinstance(word, ast.Constant) for word in node.args):
                found.add((file.name, node.func.attr))
    assert found == FIXED


def test_addresses_are_made_in_one_place() -> None:
    """An f-string that begins with a slash is an address whose parts nobody quoted."""
    found = []
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            first = node.values[0] if isinstance(node, ast.JoinedStr) else None
            text = str(first.value) if isinstance(first, ast.Constant) else ""
            if text.startswith("/") and text.strip("/"):
                found.append(f"{file.name}:{node.lineno}")
    assert found == []


def test_pages_have_no_inline_script_of_ours() -> None:
    for file in FOLDER.rglob("*.py"):
        assert "<script>" not in file.read_text("utf-8"), file


def test_every_inline_script_of_the_framework_gets_the_nonce() -> None:
    import re

    from nicegui.client import templates

    nonces()
    source, _, _ = templates.env.loader.get_source(templates.env, "index.html")  # type: ignore[union-attr]
    scripts = re.findall(r"<script[^>]*>", source)
    assert len(scripts) > 6
    for script in scripts:
        assert ("src=" in script) != ("nonce=" in script), script


def test_escaped_twice_is_a_mistake_that_shows() -> None:
    assert tag("b", Html("<i>x</i>")) == "<b><i>x</i></b>" and "&lt;" in tag("b", "<i>")
