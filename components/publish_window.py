"""publish_window: the page of a window, and its records in the history of the version."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish_window(
    name: str,
    registry: dict[str, Any],
    version: str,
    window: dsl.Input[dsl.Dataset],
    drift: dsl.Input[dsl.Artifact],
    performance: dsl.Input[dsl.Artifact],
    skew: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.Artifact],
) -> None:
    """Keeps what was found; the next window's error control builds on it."""
    from pathlib import Path

    from linnet.config import RegistryConfig
    from linnet.monitoring.publish import publish
    from linnet.registry.connect import version_package
    from linnet.run.step import run_step

    def work(out: Any) -> dict[str, Any]:
        package = version_package(RegistryConfig.parse(registry), name, version)
        found = [Path(part.path) for part in (drift, performance, skew)]
        return {"kept": str(publish(Path(window.path), package, found, out["report"]))}

    run_step(
        "publish_window",
        work,
        code=__file__,
        parameters={"name": name, "version": version},
        inputs={"window": window, "drift": drift, "performance": performance, "skew": skew},
        outputs={"report": report},
        side_effects=True,
    )
