"""audit_skew: what was served, computed again offline and compared bit by bit."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def audit_skew(
    name: str,
    registry: dict[str, Any],
    serving: dict[str, Any],
    version: str,
    window: dsl.Input[dsl.Dataset],
    skew: dsl.Output[dsl.Artifact],
) -> str:
    """Returns pass or fail; a skew that is found is an alert, and no refusal of the monitoring run."""
    from pathlib import Path

    from linnet.config import RegistryConfig, ServingConfig
    from linnet.features.skew import audit_window
    from linnet.registry.connect import version_package
    from linnet.run.step import progress, run_step

    redacted = bool(ServingConfig.parse(serving).log_image_pixelate)

    def work(out: Any) -> dict[str, Any]:
        package = version_package(RegistryConfig.parse(registry), name, version)
        found = audit_window(
            Path(window.path), package, name, out["skew"], redacted=redacted, progress=progress
        )
        return {"skew": found.verdict, "compared": found.compared, "differences": found.differences}

    values = run_step(
        "audit_skew",
        work,
        code=__file__,
        parameters={"name": name, "version": version},
        inputs={"window": window},
        outputs={"skew": skew},
        cached=False,
    )
    return str(values["skew"])
