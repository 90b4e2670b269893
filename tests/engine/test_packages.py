"""`packages_to_install`: an environment made once a set, here of a wheel that lies beside the test."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kfp import dsl

from linnet.runner.environments import Packages, make, packages_of
from linnet.runner.task_process import MARK
from tests.engine.engines import RunningEngine, run_of, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def wheel(folder: Path, name: str, version: str, text: str) -> None:
    """The smallest wheel of a pure Python package."""
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def test_packages_are_read_from_the_component_s_own_command() -> None:
    @dsl.component(
        base_image="python:3.11",
        packages_to_install=["a-package>=1,<2", "kfp"],
        pip_index_urls=["https://one.example/simple"],
    )
    def work() -> None: ...

    command = work.component_spec.implementation.container.command
    found = packages_of(command, MARK)
    assert {"a-package>=1,<2", "kfp"} <= set(found.requirements)
    one = "https://one.example/simple"
    assert found.options == ("--index-url", one, "--trusted-host", one), "each option once"
    assert set(found.missing) == {"a-package>=1,<2"}


@pytest.mark.parametrize("text", ["numpy", "numpy>=1", "kfp==2.0.0", 'x==1; python_version < "3"'])
def test_what_the_environment_has_is_not_installed(text: str) -> None:
    assert Packages((text,)).missing == ()


def test_version_that_differs_is_missing() -> None:
    assert Packages(("numpy==1.0.0", "no-such-package-at-all")).missing == (
        "numpy==1.0.0",
        "no-such-package-at-all",
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "linnet_test_greeting", "1.0", "WORD = 'hello'\n")
    return folder


def test_environment_is_made_once_and_a_failure_says_the_installer_s_reason(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    packages = Packages(("linnet-test-greeting==1.0",), ("--find-links", str(wheels)))
    python = make(packages)
    ask = "import kfp.dsl.executor_main, linnet_test_greeting as g; print(g.WORD)"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    assert done.stdout == "hello\n", done.stderr
    assert "installing linnet-test-greeting==1.0" in capsys.readouterr().out
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    assert make(packages) == python
    assert "installing" not in capsys.readouterr().out
    missing = subprocess.run([sys.executable, "-c", "import linnet_test_greeting"], capture_output=True)
    assert missing.returncode != 0, "Linnet's own environment stays as it is"
    monkeypatch.delenv("UV_CACHE_DIR")
    with pytest.raises(SystemExit, match=r"linnet-test-greeting==2.0 cannot be installed: .*2.0"):
        make(Packages(("linnet-test-greeting==2.0",), ("--find-links", str(wheels))))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    found = RunningEngine(tmp_path_factory.mktemp("packages") / "state").start()
    yield found
    found.stop()


def test_task_finds_what_it_installs(engine: RunningEngine, wheels: Path) -> None:
    @dsl.component(base_image="linnet-python", packages_to_install=[str(next(wheels.glob("*.whl")))])
    def greet() -> str:
        import linnet_test_greeting

        return linnet_test_greeting.WORD

    @dsl.component(base_image="linnet-python", install_kfp_package=False)
    def expect(found: str, wanted: str) -> None:
        assert found == wanted

    @dsl.pipeline(name="greeting")
    def greeting() -> None:
        expect(found=greet().output, wanted="hello")

    client = engine.client()
    run = wait_for(client, run_of(client, greeting), 200)
    assert run.state == "SUCCEEDED", run.error


def test_failed_installation_fails_its_task_with_the_reason(engine: RunningEngine) -> None:
    @dsl.component(base_image="linnet-python", packages_to_install=["/nowhere/at/all-1.0-py3-none-any.whl"])
    def work() -> None: ...

    @dsl.pipeline(name="no-package")
    def no_package() -> None:
        work()

    client = engine.client()
    run = wait_for(client, run_of(client, no_package), 200)
    assert run.state == "FAILED"
    assert "cannot be installed" in run.error.message and "/nowhere/at/all" in run.error.message
