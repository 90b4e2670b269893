"""observe_window: what the champion served since the last window, out of the prediction log."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def observe_window(
    name: str, registry: dict[str, Any], monitoring: dict[str, Any], end: str, window: dsl.Output[dsl.Dataset]
) -> str:
    """Returns the champion's version; `end` (empty: now) chooses the last window closed by then."""
    from linnet.config import MonitoringConfig, RegistryConfig
    from linnet.monitoring.window import last_closed, moment_of, write_window
    from linnet.records import now
    from linnet.registry.connect import find_champion
    from linnet.run.step import preparing, run_step
    from linnet.storage.paths import prediction_log_dir

    settings, config = MonitoringConfig.parse(monitoring), RegistryConfig.parse(registry)
    with preparing("observe_window"):
        champion = find_champion(config.registered_name(name), config)
        span = last_closed(moment_of(end) if end else now(), settings)

    def work(out: Any) -> dict[str, Any]:
        log = prediction_log_dir()
        found = write_window(log, champion.name, champion.version, *span, settings, out["window"])
        return {"version": champion.version, "images": found.rows, "failed": found.failed, "late": found.late}

    values = run_step(
        "observe_window",
        work,
        code=__file__,
        parameters={"name": name, "monitoring": monitoring, "version": champion.version, "end": str(span[1])},
        inputs={},
        outputs={"window": window},
        cached=False,
    )
    return str(values["version"])
