"""One finished run that all tests of a file may look at."""

from __future__ import annotations

import pytest

from tests.e2e.use_case import UseCase


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> UseCase:
    """A use case with a champion, for one file: tests run it again, and each file knows what it did.

    A test must leave some champion behind.
    """
    case = UseCase.of_photos(tmp_path_factory.mktemp("photos"))
    done = case.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    return case
