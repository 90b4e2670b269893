"""ExperimentService."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from linnet.engine.api.body import Body
from linnet.engine.api.request import engine_of, page, plain_view
from linnet.engine.supervisor import ACTIVE

router = APIRouter()
EXPERIMENTS = "/apis/v2beta1/experiments"


@router.post(EXPERIMENTS)
def create_experiment(request: Request, body: Body) -> dict[str, Any]:
    """A new experiment."""
    return engine_of(request).library.add_experiment(body).body


@router.get(EXPERIMENTS)
def list_experiments(request: Request) -> dict[str, Any]:
    """Experiments."""
    return page(request, "experiment", "experiments", plain_view)


@router.get(EXPERIMENTS + "/{experiment_id}")
def get_experiment(request: Request, experiment_id: str) -> dict[str, Any]:
    """An experiment."""
    return engine_of(request).store.get("experiment", experiment_id).body


@router.delete(EXPERIMENTS + "/{experiment_id}")
def delete_experiment(request: Request, experiment_id: str) -> dict[str, Any]:
    """Removes an experiment; its runs stay."""
    engine_of(request).store.remove("experiment", experiment_id)
    return {}


@router.post(EXPERIMENTS + "/{experiment_id}:archive")
def archive_experiment(request: Request, experiment_id: str) -> dict[str, Any]:
    """Puts an experiment away with its ended runs; its recurring runs stop."""
    store = engine_of(request).store
    with store.transaction():
        store.change("experiment", experiment_id, {"storage_state": "ARCHIVED"})
        for run in store.where("run", experiment_id=experiment_id):
            if run.body["state"] not in ("PENDING", *ACTIVE):
                store.change("run", run.id, {"storage_state": "ARCHIVED"})
        for recurring in store.where("recurring", experiment_id=experiment_id):
            store.change("recurring", recurring.id, {"status": "DISABLED", "mode": "DISABLE"})
    return {}


@router.post(EXPERIMENTS + "/{experiment_id}:unarchive")
def unarchive_experiment(request: Request, experiment_id: str) -> dict[str, Any]:
    """Brings an experiment back; its runs stay archived, as in KFP."""
    engine_of(request).store.change("experiment", experiment_id, {"storage_state": "AVAILABLE"})
    return {}
