"""build_features: image statistics into Feast, and the training set by a point-in-time join."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def build_features(
    name: str,
    data: dict[str, Any],
    features: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    batch: dsl.Input[dsl.Dataset],
    training_set: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the training set: pixels, features, labels and cohorts a split."""
    from pathlib import Path

    from linnet.config import DataConfig, FeaturesConfig
    from linnet.run.step import progress, run_step

    service, layout = FeaturesConfig.parse(features), DataConfig.parse(data)

    def still_online(_: Any) -> bool:
        from linnet.features.build import store_holds

        return store_holds(Path(samples.path), Path(batch.path), service, layout, name)

    def work(out: Any) -> dict[str, Any]:
        from linnet.features.build import build_features

        built = build_features(
            Path(samples.path), Path(batch.path), service, layout, name, out["training_set"], progress
        )
        return {"samples": sum(built.counts.values()), "features": len(built.features)}

    run_step(
        "build_features",
        work,
        code=__file__,
        parameters={"name": name, "data": data, "features": features},
        inputs={"samples": samples, "batch": batch},
        outputs={"training_set": training_set},
        still_valid=still_online,
    )
