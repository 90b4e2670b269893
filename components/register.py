"""register: a model version with its evidence, under the alias `challenger`."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    name: str,
    registry: dict[str, Any],
    data: dict[str, Any],
    features: dict[str, Any],
    train: dict[str, Any],
    evaluation: dict[str, Any],
    gates: dict[str, Any],
    model: dsl.Input[dsl.Model],
    report: dsl.Input[dsl.Artifact],
    package: dsl.Input[dsl.Model],
    ticket: dsl.Output[dsl.Artifact],
) -> str:
    """Returns the model version; the same package is registered once."""
    from pathlib import Path

    from linnet.config import RegistryConfig, parse_sections
    from linnet.registry.connect import register_challenger
    from linnet.run.step import run_step

    config = RegistryConfig.parse(registry)
    made_of = {"data": data, "features": features, "train": train, "evaluation": evaluation, "gates": gates}
    settings = parse_sections(made_of)
    folders = Path(package.path), Path(report.path), Path(model.path)

    def work(out: Any) -> dict[str, Any]:
        version = register_challenger(config, name, *folders, settings)
        version.save(out["ticket"] / "version.json")
        return {"version": version.version}

    values = run_step(
        "register",
        work,
        code=__file__,
        parameters={"name": name, "registry": registry, "settings": settings},
        inputs={"package": package},
        outputs={"ticket": ticket},
        side_effects=True,
    )
    return str(values["version"])
