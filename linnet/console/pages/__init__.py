"""The console's pages. A module here is one: adding a page is adding a file.

It has `register(context, app)`, which adds its routes; `PLACE`, the order of registration (of two routes that
fit an address the first one answers); and `NAV`, its entry in the side bar, unless it is reached from another.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType


def page_modules() -> list[ModuleType]:
    """Every page, in the order of registration."""
    found = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return sorted(found, key=lambda page: page.PLACE)
