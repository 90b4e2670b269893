"""Runs on this machine's engine, timed as a client of its API sees them."""

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import Any, Self

from kfp import dsl
from kfp.compiler import Compiler

from linnet.automation.submission import submit_pipeline
from linnet.config import EngineConfig, load_config
from linnet.launch.client import local_engine, silence_sdk, stop_engine
from linnet.records import RunRequest

_LOOK_SECONDS = 0.01
PHOTOS = "photos.toml"


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def nothing(number: int, salt: str) -> int:
    from linnet.run.step import run_step

    values = run_step(
        f"step_{number}",
        lambda _: {"number": number + 1},
        code=__file__,
        parameters={"number": number, "salt": salt},
        inputs={},
        outputs={},
    )
    return int(values["number"])


def chain(length: int) -> Any:
    @dsl.pipeline(name="chain-of-nothing")
    def pipeline(salt: str) -> None:
        task = nothing(number=0, salt=salt)
        for _ in range(length - 1):
            task = nothing(number=task.output, salt=salt)

    return pipeline


class Engine:
    """An engine of its own for a state folder and a folder of work, stopped at the end."""

    def __init__(self, home: Path, **settings: Any) -> None:
        """`settings`: of the section `engine`."""
        self.home, self._salt, self._before = home, "", Path.cwd()
        self._config = EngineConfig(allow_uploads=True, mirror_runs=False, **settings)

    def __enter__(self) -> Self:
        os.environ["LINNET_HOME"] = str(self.home / "state")
        os.chdir(self.home)
        self._host = local_engine(self._config, until_idle=False)
        self.client = self._host.client()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            stop_engine()
        os.chdir(self._before)
        del os.environ["LINNET_HOME"]

    def chain(self, length: int, fresh: bool = False) -> float:
        """Seconds from sending a chain of steps to seeing it ended; `fresh`: nothing is in the cache."""
        package = self.home / f"chain-{length}.yaml"
        if not package.exists():
            Compiler().compile(chain(length), str(package))
        if fresh or not self._salt:
            self._salt = uuid.uuid4().hex
        started = time.perf_counter()
        with silence_sdk():
            run = self.client.create_run_from_pipeline_package(str(package), arguments={"salt": self._salt})
        self._wait(run.run_id)
        return time.perf_counter() - started

    def real_dag_cached(self, repeats: int) -> list[float]:
        """Seconds of the training DAG on a small folder of images, everything cached; it works first."""
        from tests.e2e.use_case import CONFIG, write_photos

        write_photos(self.home / "photos")
        (self.home / PHOTOS).write_text(CONFIG)
        return [self._train() for _ in range(2 + repeats)][2:]

    def _train(self) -> float:
        config = load_config(self.home / PHOTOS)
        request = RunRequest(cause="person", actor="benchmark")
        started = time.perf_counter()
        submitted = submit_pipeline("training", config, request, self._host)
        self._wait(submitted.run_id)
        return time.perf_counter() - started

    def _wait(self, run_id: str) -> None:
        while (state := str(self.client.get_run(run_id).state)) in ("None", "PENDING", "RUNNING"):
            time.sleep(_LOOK_SECONDS)
        assert state == "SUCCEEDED", f"run {run_id}: {state}"
