"""measure_performance: accuracy with the labels that came, estimated where none did."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def measure_performance(
    name: str,
    registry: dict[str, Any],
    monitoring: dict[str, Any],
    version: str,
    window: dsl.Input[dsl.Dataset],
    drift: dsl.Input[dsl.Artifact],
    performance: dsl.Output[dsl.Artifact],
) -> None:
    """Judges the window with the feedback that lies beside the prediction log."""
    from pathlib import Path

    from linnet.config import MonitoringConfig, RegistryConfig
    from linnet.monitoring.history import earlier_performance
    from linnet.monitoring.performance import measure_performance
    from linnet.records import DriftReport
    from linnet.registry.connect import version_package
    from linnet.run.step import run_step
    from linnet.storage.paths import prediction_log_dir

    settings = MonitoringConfig.parse(monitoring)

    def work(out: Any) -> dict[str, Any]:
        package = version_package(RegistryConfig.parse(registry), name, version)
        report, log = DriftReport.load(Path(drift.path) / "drift.json"), prediction_log_dir()
        folders = Path(window.path), package, log
        earlier = earlier_performance(report.window.model, report.window.start)
        found = measure_performance(*folders, report, settings, out["performance"], earlier)
        return {"labelled": found.labelled, "estimate_holds": found.estimate_holds}

    run_step(
        "measure_performance",
        work,
        code=__file__,
        parameters={"monitoring": monitoring, "version": version},
        inputs={"window": window, "drift": drift},
        outputs={"performance": performance},
        cached=False,
    )
