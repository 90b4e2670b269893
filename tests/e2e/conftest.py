"""One finished run that all tests of this folder may look at."""

from __future__ import annotations

import pytest

from tests.e2e.use_case import UseCase


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> UseCase:
    """A use case with a champion. A test may run it again; it must leave some champion behind."""
    case = UseCase.of_photos(tmp_path_factory.mktemp("photos"))
    done = case.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    return case
