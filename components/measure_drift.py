"""measure_drift: the window against what the champion was trained and judged on."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def measure_drift(
    name: str,
    registry: dict[str, Any],
    monitoring: dict[str, Any],
    version: str,
    window: dsl.Input[dsl.Dataset],
    drift: dsl.Output[dsl.Artifact],
) -> str:
    """Returns the verdict: stable, drift or insufficient."""
    from pathlib import Path

    from linnet.config import MonitoringConfig, RegistryConfig
    from linnet.monitoring.history import past_p_values, segment_baseline
    from linnet.monitoring.measure import measure_drift
    from linnet.records import Window
    from linnet.registry.connect import version_package
    from linnet.run.step import progress, run_step

    settings = MonitoringConfig.parse(monitoring)

    def work(out: Any) -> dict[str, Any]:
        package = version_package(RegistryConfig.parse(registry), name, version)
        about = Window.load(Path(window.path) / "window.json")
        past = past_p_values(about.model, version, about.start)
        baseline = segment_baseline(about.model, version, about.start)
        found = measure_drift(Path(window.path), package, settings, past, out["drift"], progress, baseline)
        return {"verdict": found.verdict, "drifted": len(found.drifted), "p_value": found.p_value}

    values = run_step(
        "measure_drift",
        work,
        code=__file__,
        parameters={"monitoring": monitoring, "version": version},
        inputs={"window": window},
        outputs={"drift": drift},
        cached=False,
    )
    return str(values["verdict"])
