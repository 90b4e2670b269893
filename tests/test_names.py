"""The alphabet of every name that somebody gives: docs/security.md says it, and each field keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linnet.config import parse_config
from linnet.errors import LinnetError
from linnet.run.remarks import LONGEST_NOTE, write_remarks
from linnet.serving.router import check_version

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)',
    "script": "</script><script>alert(1)</script>",
    "PromQL": 'x"} or vector(1) or up{model="x',
    "YAML": "x: [y\n- z",
    "newline": "a\nb",
    "carriage return": "a\r\nSet-Cookie: x=1",
    "NUL": "a\x00b",
    "escape": "a\x1b[2Jb",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "a lone surrogate": "a\ud800b",
    "a path up": "../../etc/passwd",
    "a path": "/etc/passwd",
    "an encoded path": "%2e%2e%2fx",
    "a template": "{{7*7}}${7*7}",
    "a formula": "=cmd|' /C calc'!A0",
    "an option": "--help",
    "very long": "a" * 5000,
}
CONFIG: dict[str, Any] = {"data": {"location": "x", "height": 8, "width": 8, "color": "gray"}}


def _config(section: str, **values: Any) -> Callable[[], object]:
    document = {"name": "shop", **CONFIG}
    if section:
        document |= {section: {**document.get(section, {}), **values}}
    else:
        document |= values
    return lambda: parse_config(document)


FIELDS: dict[str, Callable[[str, Path], Callable[[], object]]] = {
    "use case": lambda name, _: _config("", name=name),
    "model": lambda name, _: _config("registry", model=name),
    "segment": lambda name, _: _config("serving", segments={name: ["x"]}),
    "tag of a run": lambda name, folder: lambda: write_remarks(folder, name, ""),
    "version": lambda name, _: lambda: check_version(name),
}
FREE = {
    "tag of a run": ("an option", "a path up", "a path", "newline", "carriage return"),
    "version": ("an option",),
}
"""What is a name like another there: words of letters, dots, dashes and slashes; tags are split at spaces."""
LOOSE: dict[str, Callable[[str, Path], Callable[[], object]]] = {
    "class": lambda name, _: _config("data", classes=["a", name]),
    "cohort": lambda name, _: _config("data", cohorts=[name]),
    "value of a segment": lambda name, _: _config("serving", segments={"site": [name]}),
}
"""Data's own words, in any script and with any sign: no control and no hidden characters, 100 at most. They
are escaped wherever they are shown (`tests/console/test_hostile_records.py`)."""


@pytest.mark.parametrize(
    ("field", "kind"), [(f, k) for f in FIELDS for k in HOSTILE if k not in FREE.get(f, ())]
)
def test_hostile_name_is_refused_with_one_clear_error(tmp_path: Path, field: str, kind: str) -> None:
    with pytest.raises(LinnetError) as refused:
        FIELDS[field](HOSTILE[kind], tmp_path)()
    assert len(str(refused.value)) < 600 and str(refused.value).isprintable()


HIDDEN = ("newline", "carriage return", "NUL", "escape", "right to left", "zero width", "very long")


@pytest.mark.parametrize("kind", [*HIDDEN, "a lone surrogate"])
@pytest.mark.parametrize("field", LOOSE)
def test_control_and_hidden_characters_are_no_part_of_the_datas_words(
    tmp_path: Path, field: str, kind: str
) -> None:
    with pytest.raises(LinnetError) as refused:
        LOOSE[field](HOSTILE[kind], tmp_path)()
    assert len(str(refused.value)) < 600 and str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["Größe", "Shop Photos", "shoes.v2", "靴", "x" * 200, "a-b_c"])
def test_model_may_be_called_by_letters_of_any_language(name: str) -> None:
    _config("registry", model=name)()


def test_note_of_a_run_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(LinnetError, match="note of 2,000"):
        write_remarks(tmp_path, "", "a" * (LONGEST_NOTE + 1))
