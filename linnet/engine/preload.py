"""What the engine's fork server loads, by name: the runner must not know the rooms above it."""

from __future__ import annotations

COMPILER = "pipelines.compile"
"""Module with this installation's PIPELINES and `compile_pipeline`."""
PRELOAD = (
    "encodings.ascii",
    "kfp.dsl.executor_main",
    "linnet.config",
    "linnet.data.ingest",
    "linnet.data.validate",
    "linnet.deployment.release",
    "linnet.runner.run_worker",
    "linnet.features.build",
    "linnet.labels.collect",
    "linnet.labels.export_after_run",
    "linnet.labels.request",
    "linnet.registry.connect",
    "linnet.registry.run_mirror",
    "linnet.run.step",
    "pandas",
)
"""What steps import before they know whether there is anything to do: a cached one then costs a fork."""
