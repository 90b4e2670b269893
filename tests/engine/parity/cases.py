"""What a case of the parity suite is, and the list of them all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kfp import dsl

from tests.shallow import shallow


@dataclass(frozen=True)
class Case:
    """A pipeline and what must become of it; its tasks check their own inputs."""

    name: str
    build: Callable[..., None]
    arguments: dict[str, Any] = field(default_factory=dict)
    state: str = "SUCCEEDED"
    succeeded: tuple[str, ...] = ()
    """Display names of tasks that must succeed, as often as they stand here."""
    failed: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    """Tasks that must not run."""

    def pipeline(self) -> Any:
        """The pipeline, as the SDK compiles it."""
        return shallow(dsl.pipeline(name=f"parity-{self.name.replace('_', '-')}"), self.build)


CASES: list[Case] = []


def added_to(cases: list[Case]) -> Callable[..., Callable[[Callable[..., None]], Callable[..., None]]]:
    """A decorator that makes a case of a pipeline function, and adds it to a list."""

    def case(**expected: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def add(build: Callable[..., None]) -> Callable[..., None]:
            cases.append(Case(build.__name__, build, **expected))
            return build

        return add

    return case


case = added_to(CASES)
