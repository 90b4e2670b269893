"""Calls of MLflow that answer in pages, or whose refusal means nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def ignore_error(code: str) -> Iterator[None]:
    """Lets MLflow's errors of one code pass."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def all_pages(search: Callable[..., Any], **arguments: Any) -> list[Any]:
    """All results of a search that answers in pages."""
    page = search(**arguments)
    found = list(page)
    while page.token:
        page = search(**arguments, page_token=page.token)
        found += page
    return found
