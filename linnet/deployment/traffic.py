"""The seam between a rollout and whatever serves: one narrow protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from linnet.errors import RolloutError
from linnet.records import ServedRecord


class LoadRefused(RolloutError):
    """The server could not load a version; whatever it served before, it still serves."""


class TrafficTarget(Protocol):
    """A server, or a fleet of them, whose traffic a rollout directs.

    Every method raises RolloutError if the server does not answer or refuses.
    """

    lost: int
    """Answered requests whose records were gone before `records` asked for them: nobody judges them."""

    def champion(self) -> str | None:
        """The version that answers by default; None if only the candidate is there."""

    def load(self, version: str, package: Path) -> None:
        """Makes a version ready to answer, without giving it traffic. Raises LoadRefused."""

    def unload(self, version: str) -> None:
        """Forgets a version that has no traffic; one that is not loaded is no error."""

    def route(self, candidate: str | None, percent: int, mirror: float) -> None:
        """Sends `percent` of the requests to the candidate and the rest to the champion, at once.

        A share `mirror` (0 to 1) of the requests is also computed by the version that does not
        answer it. None gives all to the champion.
        """

    def renew(self, candidate: str) -> bool:
        """Says that the candidate's share is looked after; False if it was taken away meanwhile.

        A target may give all of the traffic back to the champion when it has not heard this for long.
        """

    def promote(self, version: str) -> None:
        """Makes a version the champion, with all of the traffic."""

    def records(self, after: int) -> tuple[int, list[ServedRecord]]:
        """Records of requests later than the cursor `after`, and the cursor for the next call.

        A negative cursor asks for the present end, without records.
        """
