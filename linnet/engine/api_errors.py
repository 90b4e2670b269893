"""What the API says when it cannot do what was asked: the codes of gRPC, as KFP's gateway writes them."""

from __future__ import annotations

from typing import Any, Literal

from linnet.errors import LinnetError

Reason = Literal[
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAUTHENTICATED",
]

CODES: dict[Reason, tuple[int, int]] = {
    "INVALID_ARGUMENT": (3, 400),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAUTHENTICATED": (16, 401),
}
"""gRPC code and HTTP status (google/rpc/code.proto)."""


class ApiError(LinnetError):
    """A request that cannot be done; `reason` is a gRPC code's name."""

    def __init__(self, reason: Reason, problem: str) -> None:
        self.reason, self.problem = reason, problem
        super().__init__(problem)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.reason][1]

    def body(self) -> dict[str, Any]:
        """The JSON body that KFP's gateway would send."""
        code = CODES[self.reason][0]
        detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": self.problem}
        return {"error": self.problem, "code": code, "message": self.problem, "details": [detail]}
