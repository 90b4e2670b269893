"""The parameters of a configured pipeline: checked before its run begins, and bounded by who asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from linnet.config import SECTIONS, Config, Section, parse_config
from linnet.config.places import foreign_places, place_value
from linnet.engine.api_errors import ApiError
from linnet.errors import ConfigError


def checked_sections(parameters: dict[str, Any]) -> dict[str, Section]:
    """The config sections among a run's parameters.

    Raises:
        ApiError: one of them, or the run's `name`, is not what a config would take. (A name is a part of
            paths in the state folder.)
    """
    given = {key: value for key, value in parameters.items() if key in SECTIONS}
    name = {"name": parameters["name"]} if "name" in parameters else {"name": "run"}
    try:
        config = parse_config({**name, **given}, "parameter")
    except ConfigError as error:
        raise ApiError("INVALID_ARGUMENT", str(error)) from error
    return {key: getattr(config, key) for key in given}


def refuse_foreign_places(
    sections: dict[str, Section], known: Iterable[Config], broken: Sequence[str] = ()
) -> None:
    """Refuses sections that name a file, an address, a credential or code that no known config names.

    `broken`: what is wrong with configs that cannot be read, which may be the very ones that name it.

    Raises:
        ApiError: with the setting and what to do.
    """
    configs = [{key: getattr(config, key) for key in SECTIONS} for config in known]
    if key := foreign_places(sections, configs):
        raise ApiError(
            "PERMISSION_DENIED",
            f"{key} = {place_value(sections, key)!r}: no config on the engine's disk names this (together "
            "with what belongs to it), and the run would reach it with the rights of the engine's owner. "
            "Write it into a file in configs/ there, name that file in engine.trusted_configs, or submit as "
            "the owner: `linnet run`, or the bearer token in engine/owner.token of the state folder"
            + (f" (left out, as it cannot be read: {broken[0]})" if broken else ""),
        )
