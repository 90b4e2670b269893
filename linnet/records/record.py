"""What all records share: immutable, closed to unknown fields, one JSON file each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from linnet.errors import StorageError
from linnet.storage.files import write_text

Verdict = Literal["pass", "fail"]
JudgeVerdict = Literal["proceed", "promote", "rollback", "inconclusive"]
Split = Literal["train", "validation", "test", "production"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "production")


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


def utc_time(text: str) -> datetime:
    """A time of ISO 8601 or RFC 3339 as UTC; one without an offset is taken as UTC.

    Raises:
        ValueError: the text is no such time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Record(BaseModel):
    """Base of all records: immutable, closed to unknown fields, one JSON file each."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", defer_build=True)

    def save(self, path: Path) -> None:
        """Writes the record as indented JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            StorageError: the file is missing or is not such a record.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(f"{path}: not a readable {cls.__name__}: {error}") from error


class Interval(Record):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float
