"""The monitoring DAG, a recurring run: one window of traffic against what the champion was made of.

`observe_window -> measure_drift -> measure_performance`, `audit_skew`, then `publish_window`, and from the
records that it keeps `decide_retraining`, which may submit a training run.
"""

from typing import Any

from kfp import dsl

from components.audit_skew import audit_skew as audit_skew_step
from components.decide_retraining import decide_retraining as decide_retraining_step
from components.measure_drift import measure_drift as measure_drift_step
from components.measure_performance import measure_performance as measure_performance_step
from components.observe_window import observe_window as observe_window_step
from components.publish_window import publish_window as publish_window_step
from linnet.config import Config
from pipelines.placement import Placement


def monitoring_pipeline(config: Config) -> Any:
    """The monitoring DAG with the config's values as the defaults of its parameters."""

    placement = Placement.of(config)
    place = placement.place

    @dsl.pipeline(
        name="linnet-monitoring", description="A window of traffic against the champion's reference"
    )
    def linnet_monitoring(
        name: str = config.name,
        end: str = "",
        serving: dict[str, Any] = config.serving.values(),
        registry: dict[str, Any] = config.registry.values(),
        monitoring: dict[str, Any] = config.monitoring.values(),
        retraining: dict[str, Any] = config.retraining.values(),
        cost: dict[str, Any] = config.cost.values(),
        request: dict[str, Any] = {},  # noqa: B006  who asked for the run, and why
    ) -> None:
        with placement.recorded("monitoring", name, request, cost, registry):
            observed = place(
                observe_window_step(name=name, registry=registry, monitoring=monitoring, end=end),
                minutes=15,
                memory="4G",
            ).set_retry(2, "30s")
            version, window = observed.outputs["Output"], observed.outputs["window"]
            of = {"name": name, "registry": registry, "version": version, "window": window}
            moved = place(measure_drift_step(monitoring=monitoring, **of), minutes=15, cpu="2", memory="4G")
            drift = moved.outputs["drift"]
            performed = place(
                measure_performance_step(monitoring=monitoring, drift=drift, **of), minutes=10, memory="4G"
            )
            skew = place(audit_skew_step(serving=serving, **of), minutes=30, cpu="2", memory="4G")
            published = place(
                publish_window_step(
                    drift=drift,
                    performance=performed.outputs["performance"],
                    skew=skew.outputs["skew"],
                    **of,
                ),
                minutes=10,
                memory="4G",
            )
            place(
                decide_retraining_step(name=name, registry=registry, retraining=retraining), minutes=10
            ).after(published)

    return linnet_monitoring
