"""Section of the retraining policy: when a run is asked for, and what may never be exceeded."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from linnet.config.section import Fraction, Section


class RetrainingConfig(Section):
    renamed: ClassVar = {"labels_trigger": "trigger_after_labels"}
    enabled: bool = True
    """Whether the policy may ask for runs; its decisions are written down either way."""
    windows: int = Field(default=5, ge=1)
    """How many of the newest windows are looked at (n)."""
    violations: int = Field(default=3, ge=1)
    """How many of them must violate, the newest among them (k)."""
    max_accuracy_loss: Fraction = Field(default=0.02, ge=0, lt=1)
    """Drift asks for a run only if the accuracy lost since the reference is proven to exceed this: the
    lower bound of the estimate lies beyond it."""
    min_new_labels: int = Field(default=500, ge=0)
    """Labels that came since the champion's training data, and are needed before drift can ask."""
    label_budget: int = Field(default=500, ge=0)
    """Most images that drift asks people about at once, where labels are missing: images that users sent,
    drawn by chance. The next such round waits for `cooldown_hours`, and for answers. 0: drift asks nobody."""
    trigger_after_labels: int = Field(default=0, ge=0)
    """So many new labels ask for a run by themselves; 0: never."""
    max_age_days: float = Field(default=0.0, ge=0)
    """A champion trained on data older than this many days asks for a run by itself; 0: never."""
    schedule_days: float = Field(default=0.0, ge=0)
    """Days after the last run at which one is asked for whatever happened; 0: never."""
    cooldown_hours: float = Field(default=12.0, ge=0)
    """Shortest time between two runs that the policy asks for."""
    runs_per_day: int = Field(default=2, ge=1)
    """Runs that the policy may ask for in any 24 hours."""
    cost_per_month: float = Field(default=100.0, gt=0)
    """What its runs may cost in any 30 days, in the currency of `run_cost`."""
    run_cost: float = Field(default=1.0, ge=0)
    """What a run costs until one of the policy's own has told; then the most expensive of the last five."""
    breaker_failures: int = Field(default=3, ge=1)
    """Runs in a row that failed or were refused by a gate, after which the breaker opens."""
    recent_days: float = Field(default=7.0, gt=0)
    """How far back the labelled production window reaches that a run trains on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.violations > self.windows:
            raise ValueError(f"violations: {self.violations} of {self.windows} windows cannot violate")
        return self
