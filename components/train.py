"""train: the network, on a GPU if there is one."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(train: dict[str, Any], training_set: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> None:
    """Trains; a killed training goes on from its last checkpoint."""
    from functools import partial
    from pathlib import Path
    from shutil import rmtree

    from linnet.config import TrainConfig
    from linnet.run.step import hold_gpus, measured, progress, run_step, work_dir

    config = TrainConfig.parse(train)
    weights = {name: Path(getattr(config, name)) for name in ("init_weights", "weights")}

    def work(out: Any) -> dict[str, Any]:
        from linnet.cache.store import open_cache
        from linnet.training.train import train

        checkpoints = work_dir("train", config.values(), code=__file__)
        given, tell = Path(training_set.path), partial(measured, "train")
        report = train(given, config, out["model"], checkpoints, progress, open_cache(), tell)
        rmtree(checkpoints, ignore_errors=True)
        hold_gpus(config.processes if report.device.startswith("cuda") else 0)
        waited = {} if report.waiting is None else {"waiting_for_batches": round(report.waiting, 4)}
        return {
            "epochs": int(report.history[-1]["epoch"]),
            "validation_accuracy": report.kept["validation_accuracy"],
            **report.cross_validation,
            **waited,
        }

    run_step(
        "train",
        work,
        code=__file__,
        parameters={"train": train},
        inputs={"training_set": training_set, **{n: p if p.is_file() else None for n, p in weights.items()}},
        outputs={"model": model},
    )
