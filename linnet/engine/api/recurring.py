"""RecurringRunService."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from linnet.engine.api.body import Body
from linnet.engine.api.request import engine_of, page, plain_view
from linnet.engine.security import caller_of

router = APIRouter()
RECURRING = "/apis/v2beta1/recurringruns"


@router.post(RECURRING)
def create_recurring_run(request: Request, body: Body) -> dict[str, Any]:
    """A new recurring run."""
    engine = engine_of(request)
    identity = body.get("experiment_id") or engine.library.default_experiment()
    experiment = engine.store.get("experiment", identity).id
    reference = engine.library.reference_of(body)
    wanted = {**body, **reference, "experiment_id": experiment}
    return engine.recurring.create(wanted, caller_of(request.scope)).body


@router.get(RECURRING)
def list_recurring_runs(request: Request, experiment_id: str = "") -> dict[str, Any]:
    """Recurring runs."""
    return page(request, "recurring", "recurringRuns", plain_view, experiment_id=experiment_id)


@router.get(RECURRING + "/{recurring_run_id}")
def get_recurring_run(request: Request, recurring_run_id: str) -> dict[str, Any]:
    """A recurring run."""
    return engine_of(request).store.get("recurring", recurring_run_id).body


@router.delete(RECURRING + "/{recurring_run_id}")
def delete_recurring_run(request: Request, recurring_run_id: str) -> dict[str, Any]:
    """Removes a recurring run; its runs stay."""
    engine_of(request).store.remove("recurring", recurring_run_id)
    return {}


@router.post(RECURRING + "/{recurring_run_id}:enable")
def enable_recurring_run(request: Request, recurring_run_id: str) -> dict[str, Any]:
    """Lets it run again."""
    engine_of(request).recurring.switch(recurring_run_id, on=True)
    return {}


@router.post(RECURRING + "/{recurring_run_id}:disable")
def disable_recurring_run(request: Request, recurring_run_id: str) -> dict[str, Any]:
    """Lets it rest."""
    engine_of(request).recurring.switch(recurring_run_id, on=False)
    return {}
