"""docs/architecture.md says what is: its picture is the import contract, and its files exist."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def drawn() -> list[set[str]]:
    picture = re.search(r"<!-- rooms.*?```\n(.*?)```", TEXT, re.DOTALL)
    assert picture is not None
    rows = []
    for line in picture[1].splitlines():
        rooms = re.match(r"[a-z]+(?: \| [a-z]+)*", line)
        assert rooms is not None, line
        rows.append(set(rooms[0].split(" | ")))
    return rows


def contract() -> list[set[str]]:
    read = configparser.ConfigParser()
    read.read(ROOT / ".importlinter")
    lines = read["importlinter:contract:layers"]["layers"].split("\n")
    return [
        {name.strip().removeprefix("linnet.") for name in line.split("|")} for line in lines if line.strip()
    ]


def test_picture_is_the_import_contract() -> None:
    assert drawn() == contract()


def test_every_room_is_in_the_contract() -> None:
    own = {path.stem for path in (ROOT / "linnet").glob("[a-z]*") if path.name != "__pycache__"}
    assert set().union(*contract()) == own | {"components", "pipelines"}


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:linnet|components|pipelines)/[\w/]+\.py)`", TEXT))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).is_file()} == set()
