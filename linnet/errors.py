"""Every error Linnet raises on purpose.

LinnetError                      shown to a person as one message, without a traceback
|- ConfigError                   a config file or a parameter is wrong
|- DataError                     the dataset cannot be read, or is not what it claims to be
|  |- DigestMismatch             bytes differ from what data.dvc names
|  |- DatasetUnavailable         no source has the dataset
|  `- InvalidImage               bytes are not an image that Linnet accepts
|     `- ImageTooLarge           ... for its size
|- ValidationFailed              the dataset was read, and broke an expectation
|- TrainingError                 training cannot start or go on
|- PackagingError                the exported model is not the trained model
|- RegistryError                 the model registry refused or cannot be reached
|  |- RegistryUnreachable        its server does not answer
|  |- NoChampion                 nothing can be served yet
|  `- PromotionConflict          somebody else moved the alias first
|- ServingError                  the server cannot start or a model cannot be loaded
|  `- RequestRejected            a request is wrong; carries the HTTP status
|- LabelServerError              the label server refused, or cannot be reached
|  `- ProjectGone                somebody deleted the project there
|- RolloutError                  a release cannot go on
|- RunError                      a pipeline run failed or cannot be found
|- RetrainingError               the retraining ledger was changed, or an alert cannot be taken
`- StorageError                  the disk is full, or a stored object is damaged

This module imports no framework, so that every part of Linnet may raise these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


class LinnetError(Exception):
    """Base of all errors that are meant for a person: what was wrong, where, and what to do.

    `exit_code` is the status a command ends with (1 error, 2 usage, 3 a gate or canary said no).
    """

    exit_code = 1
    transient = False
    """Whether the same work may succeed when it is tried again."""


class ConfigError(LinnetError):
    """A setting is wrong. `where` is `section.field`, `problem` what is wrong, `remedy` what to do."""

    exit_code = 2

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where, self.problem, self.remedy = where, problem, remedy
        super().__init__(f"{where}: {problem}" + (f" ({remedy})" if remedy else ""))


class DataError(LinnetError):
    """The dataset at `where` cannot be used."""

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where, self.problem, self.remedy = where, problem, remedy
        super().__init__(f"{where}: {problem}" + (f"; {remedy}" if remedy else ""))


class DigestMismatch(DataError):
    """A file's bytes differ from the digest that names it."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            where,
            f"its digest is {found}, but {expected} was expected",
            "the file is damaged or was replaced: delete it and fetch again",
        )


class DatasetUnavailable(DataError):
    """No source could deliver the dataset; `tried` says what each one answered."""

    transient = True

    def __init__(self, where: str, tried: dict[str, str], remedy: str) -> None:
        self.tried = tried
        answers = "; ".join(f"{name}: {answer}" for name, answer in tried.items())
        super().__init__(where, f"no source has it ({answers})", remedy)


class InvalidImage(DataError):
    """Bytes that do not decode to an image that Linnet accepts."""


class ImageTooLarge(InvalidImage):
    """An image beyond one of the two limits of what an image may be."""

    of_pixels = False
    """Whether it is the limit of pixels, and not that of bytes."""

    @classmethod
    def pixels(cls, where: str, width: int, height: int, most: int, kind: str) -> ImageTooLarge:
        """More pixels than the memory of decoding has room for; it differs by format."""
        size = f"{width} x {height} pixels ({width * height / 1e6:.1f} megapixels)"
        limit = f"of {kind} at most {most / 1e6:.1f} megapixels are read (data.max_pixels)"
        error = cls(where, f"is {size}; {limit}")
        error.of_pixels = True
        return error

    @classmethod
    def bytes(cls, where: str, size: int, most_mb: float) -> ImageTooLarge:
        """More bytes than training and serving take."""
        return cls(where, f"has {size / 1e6:.1f} MB; at most {most_mb:g} MB are read (data.max_image_mb)")


class ValidationFailed(LinnetError):
    """The dataset broke expectations. `failures` are one line each, naming the rows."""

    def __init__(self, failures: list[str], report: str = "") -> None:
        self.failures, self.report = failures, report
        lines = "".join(f"\n  - {failure}" for failure in failures)
        super().__init__(
            f"the dataset failed {len(failures)} expectation(s):{lines}"
            + (f"\nfull report: {report}" if report else "")
        )


class TrainingError(LinnetError):
    """Training cannot start or go on."""


class PackagingError(LinnetError):
    """The exported model is not numerically the trained model, or cannot be exported."""


class RegistryError(LinnetError):
    """The model registry refused, or cannot be reached."""


class RegistryUnreachable(RegistryError):
    """The server at `url` that keeps the registry does not answer."""

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        super().__init__(
            f"the registry at {url} does not answer: {problem}; start it, or fix registry.tracking_uri"
        )


class NoChampion(RegistryError):
    """Nothing can be served: a model, or every model, has no champion yet."""

    def __init__(self, model: str, known: Sequence[str]) -> None:
        """`model` empty: none has one."""
        of = f" of {model}" if model else ""
        others = model and known and model not in known
        unknown = f" (models that are registered: {', '.join(known)})" if others else ""
        super().__init__(f"there is no champion{of} yet{unknown}: `linnet run CONFIG` makes one")


class PromotionConflict(RegistryError):
    """A compare-and-swap of an alias lost: it pointed to `found`, not to `expected`."""

    def __init__(self, alias: str, expected: str | None, found: str | None) -> None:
        self.alias, self.expected, self.found = alias, expected, found
        super().__init__(
            f"alias '{alias}' points to {found or 'nothing'}, not to {expected or 'nothing'}: "
            "somebody moved it meanwhile; look at `linnet models list` and decide again"
        )


class ServingError(LinnetError):
    """The server cannot start, or a model cannot be loaded into it."""


Reason = Literal[
    "type", "size", "pixels", "decode", "shape", "key", "route", "overload", "protocol", "failed"
]
_REASONS: dict[int, Reason] = {
    400: "shape", 401: "key", 403: "key", 408: "protocol", 409: "shape", 413: "size", 415: "type",
    422: "shape", 429: "overload", 431: "protocol", 500: "failed", 503: "overload",
}  # fmt: skip


class RequestRejected(ServingError):
    """A request is wrong; `status` is the HTTP status that says so, `reason` what it is about.

    The reason follows from the status where none is given; see `linnet.records.refused`.
    """

    def __init__(self, status: int, problem: str, reason: Reason | None = None) -> None:
        self.status, self.problem = status, problem
        self.reason: Reason = reason or _REASONS.get(status, "route")
        super().__init__(problem)


class LabelServerError(LinnetError):
    """The label server at `url` refused, cannot be reached, or lost what it had."""

    def __init__(self, url: str, problem: str, remedy: str = "", *, transient: bool = False) -> None:
        self.url, self.problem, self.remedy, self.transient = url, problem, remedy, transient
        super().__init__(f"label server {url}: {problem}" + (f"; {remedy}" if remedy else ""))


class ProjectGone(LabelServerError):
    """The project that the tasks were exported to does not exist any more."""

    def __init__(self, url: str, project: int) -> None:
        self.project = project
        super().__init__(
            url,
            f"project {project} is gone: somebody deleted it",
            "every answer collected before is kept; `linnet labels export` makes a new project with the "
            "tasks that are still open",
        )


class RolloutError(LinnetError):
    """A release cannot start or go on."""


class RunError(LinnetError):
    """A pipeline run failed, was interrupted, or cannot be found."""


class RetrainingError(LinnetError):
    """The retraining ledger was changed or cannot be written, or there is nothing to retrain."""


class StorageError(LinnetError):
    """The disk is full or not writable, or a stored object is damaged."""
