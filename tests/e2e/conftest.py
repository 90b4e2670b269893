"""One use case, and one finished run of it, that all tests of a file may look at."""

from __future__ import annotations

import pytest

from tests.e2e.use_case import UseCase


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> UseCase:
    """A use case for one file; nothing was run in it yet when the first test gets it.

    Its folder's name means something in URLs, patterns, templates and shells: nothing may take it for that.
    """
    return UseCase.of_photos(tmp_path_factory.mktemp("photos") / "it's 100%41 [a]*?#&;$HOME")


@pytest.fixture(scope="module")
def finished(photos: UseCase) -> UseCase:
    """The file's use case with a champion: tests run it again, and each file knows what it did.

    A test must leave some champion behind. What a test of `photos` did before is taken from the cache.
    """
    done = photos.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    return photos
