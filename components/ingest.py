"""ingest: the dataset version that the config names, verified, as the sample table."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(name: str, data: dict[str, Any], samples: dsl.Output[dsl.Dataset]) -> None:
    """Writes the sample table of the dataset that `data` names."""
    from linnet.config import DataConfig
    from linnet.data.ingest import ingest, source_identity, windows_identity
    from linnet.run.step import preparing, progress, run_step

    with preparing("ingest"):
        config = DataConfig.parse(data)
        source = source_identity(config)

    def work(out: Any) -> dict[str, Any]:
        manifest = ingest(config, name, out["samples"], progress)
        return {
            "images": manifest.rows,
            "duplicates": manifest.dropped_duplicates,
            "leaks": manifest.dropped_leaks + manifest.near_leaks,
            "conflicts": manifest.conflicts,
            "left_out": sum(manifest.left_out.values()),
            "bad_files": manifest.bad,
        }

    run_step(
        "ingest",
        work,
        code=__file__,
        parameters={"name": name, "data": data, "source": source},
        inputs={},
        outputs={"samples": samples},
        extra_inputs=lambda: {"windows": windows_identity(name)},
    )
