"""The configs that a new run can begin with, and what they let it reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from linnet.config import SECTIONS, Config, broken_config_files, config_files
from linnet.config.places import foreign_places
from linnet.errors import ConfigError
from linnet.records import RunRecord

LAST_RUNS = 10


@dataclass(frozen=True, slots=True)
class Bases:
    """Configs to begin with, by where they come from."""

    configs: dict[str, Config]
    left_out: tuple[str, ...]
    """Why others, which somebody may look for here, are not among them."""


def bases(records: list[RunRecord], also: str = "") -> dict[str, Config]:
    """Configs to begin with: the files in `configs/` and here, then those of each model's last runs.

    `also`: the name of one more, such as `run ID`: any run here can be run again, however old it is.
    """
    return read_bases(records, also).configs


def read_bases(records: list[RunRecord], also: str = "") -> Bases:
    """The same, with what cannot be read."""
    found, left_out = config_files(), broken_config_files()
    several: Counter[str] = Counter()
    older: list[str] = []
    for record in records:
        several[record.model_name] += 1
        is_last = several[record.model_name] <= LAST_RUNS  # a busy model hides no other
        if not is_last and also != f"run {record.run_id}":
            continue
        try:
            found[f"run {record.run_id}"] = Config.parse(record.config)
        except ConfigError as error:  # of an older Linnet
            older.append(f"run {record.run_id}: {error}")
    if older:
        more = f"{len(older) - 1} more run(s) and " if older[1:] else ""
        left_out.append(f"{more}{older[0]}")
    return Bases(found, tuple(left_out))


def refuse_foreign_places(config: Config, known: Iterable[Config]) -> None:
    """Refuses what would let a person of the console reach files and servers with its owner's rights.

    Raises:
        ConfigError: a setting names a file, an address, a credential or code that no known config names.
    """
    sections = [{name: getattr(one, name) for name in SECTIONS} for one in (config, *known)]
    if key := foreign_places(sections[0], sections[1:]):
        remedy = "the console's owner can name it in a file in configs/, or start the run with `linnet run`"
        raise ConfigError(key, "names something that no config here names (with what belongs to it)", remedy)
