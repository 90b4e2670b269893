"""Compiles the DAGs to KFP files: the same file for a laptop and for Kubeflow Pipelines."""

from __future__ import annotations

from pathlib import Path

from linnet.config import Config
from pipelines.labeling import labeling_pipeline
from pipelines.monitoring import monitoring_pipeline
from pipelines.training import training_pipeline

PIPELINES = {
    "training": training_pipeline,
    "labeling": labeling_pipeline,
    "monitoring": monitoring_pipeline,
}


def compile_pipeline(name: str, config: Config, target: Path) -> Path:
    """Writes the KFP file (YAML: pipeline spec and Kubernetes platform spec) of a DAG."""
    from kfp.compiler import Compiler

    target.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(PIPELINES[name](config), str(target))
    return target
