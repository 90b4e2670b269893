"""`linnet up` with several models: each is served with the limits of its own config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.commands.serve import _models_to_serve, serve_champions, stop_server
from linnet.commands.terminal import terminal
from linnet.commands.up import _engine_settings
from linnet.config import ServingConfig
from linnet.errors import ConfigError, NoChampion
from linnet.records import RunRecord, RunRequest, now
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.run.runs import runs_dir
from linnet.serving.client import ServerClient
from linnet.storage.paths import server_state_file
from tests.registry import conftest
from tests.registry.conftest import Submit
from tests.serving.running import noise_png, png

database, steps, submit = conftest.database, conftest.steps, conftest.submit


def champion(submit: Submit, model: str, serving: dict[str, float] | None) -> None:
    """Registers and promotes a version of a model; `serving`: of the config of the run that made it."""
    registry, submission = ModelRegistry(MlflowRegistry(), "ada@lab"), submit(60.0, model=model)
    if serving is not None:
        run = RunRecord(
            run_id=f"run-of-{model}", pipeline="training", commit="", state="succeeded", started_at=now(),
            request=RunRequest(cause="person", actor="ada@lab"),
            config={"name": model, "serving": ServingConfig.parse(serving).values()},
        )  # fmt: skip
        run.save(runs_dir() / run.run_id / "run.json")
        submission.tags["run"] = run.run_id
    version = registry.register(submission).version
    registry.promote(model, version, None, override="by hand")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the server goes on by itself
def test_each_champion_has_the_limits_of_the_run_that_made_it_or_of_its_config(
    database: Path, submit: Submit, tmp_path: Path
) -> None:
    del database
    champion(submit, "small", {"max_body_mb": 0.0003})
    champion(submit, "large", {"max_body_mb": 12})
    champion(submit, "plain", None)
    config = tmp_path / "plain.toml"
    shape = 'height = 8\nwidth = 8\ncolor = "gray"\nmax_image_mb = 5.0\n'
    served = "max_body_mb = 5.0\nworkers = 1\nport = 0\n"
    config.write_text(f'name = "plain"\n[data]\n{shape}[serving]\n{served}')
    serve_champions(["small", "large", "plain"], [config], None, detach=True, console=terminal())
    try:
        client = ServerClient.from_state(server_state_file())
        assert client.models() == ["large", "plain", "small"]
        images = {"large": png(8, 12), "noisy": noise_png(1, 20), "megabytes": bytes(9_000_000)}
        assert len(images["noisy"]) > 300, "it is over small's limit"
        statuses = {
            (model, name): client.request("POST", f"/predict/{model}", image)[0]
            for model in client.models()
            for name, image in {"plain": png(200), **images}.items()
        }
        assert [statuses[model, "plain"] for model in ("small", "large", "plain")] == [200, 200, 200]
        assert [statuses["small", name] for name in images] == [200, 413, 413]
        assert [statuses["large", name] for name in images] == [200, 200, 415], "12 MB are taken"
        assert [statuses["plain", name] for name in images] == [200, 200, 413], "its config's 5 MB"
        assert json.loads(client.request("GET", "/v2/health/ready")[2]) == {"ready": True}
    finally:
        assert stop_server()


def test_model_without_settings_of_its_own_gets_the_defaults_and_no_other_model_s(
    database: Path, submit: Submit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It got those of the first config given: all images of its users were kept, as another model's were."""
    del database
    champion(submit, "loud", None)
    champion(submit, "older", {})
    record = runs_dir() / "run-of-older" / "run.json"
    record.write_text(record.read_text().replace('"log_sample"', '"log_some"'))
    (tmp_path / "loud.toml").write_text('name = "loud"\n[serving]\nlog_images = 1.0\nlog_images_mb = 5.0\n')
    models, server = _models_to_serve(["loud", "older"], [tmp_path / "loud.toml"])
    assert [one.config.log_images for one in models if one.config] == [1.0, 0.0]
    assert server.log_images_mb == 5.0 + ServingConfig().log_images_mb
    assert "older: the serving settings of run run-of-older cannot be read here" in capsys.readouterr().err
    _models_to_serve(["loud"], [])
    assert "loud: no run stands behind its version, so the defaults hold" in capsys.readouterr().err


def test_server_that_is_started_again_leaves_out_a_model_without_a_champion_and_tells(
    database: Path, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    """Every restart failed over one model whose package was damaged, and the good ones were not served."""
    del database
    champion(submit, "good", {})
    left_out: dict[str, str] = {}
    models, _ = _models_to_serve(["gone", "good"], [], left_out)
    assert [one.name for one in models] == ["good"] and left_out.keys() == {"gone"}
    assert "gone is not served: " in caplog.text
    for names, taken in ((["gone"], left_out), (["gone", "good"], None)):
        with pytest.raises(NoChampion, match="gone"):
            _models_to_serve(names, [], taken)


def test_setting_of_the_server_that_does_not_hold_is_told(
    database: Path, submit: Submit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first config's won, and the second's 20 labels for feedback were 100,000 without a word."""
    del database
    for name in ("first", "second"):
        champion(submit, name, None)
    (tmp_path / "first.toml").write_text('name = "first"\n[serving]\nmax_in_flight = 7\n')
    (tmp_path / "second.toml").write_text(
        'name = "second"\n[serving]\nmax_in_flight = 9\nfeedback_labels = 20\n'
    )
    models, server = _models_to_serve([], [tmp_path / "first.toml", tmp_path / "second.toml"])
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("second: serving.feedback_labels = 20 does not hold: one server serves all models")
    assert server.feedback_labels == ServingConfig().feedback_labels and "max_in_flight" not in said
    assert [one.config.max_in_flight for one in models if one.config] == [7, 9], "a model's own settings hold"


def test_two_configs_of_one_model_or_of_the_engine_alone_are_refused(tmp_path: Path) -> None:
    """The last one won, or the first, and nobody was told."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('name = "photos"\n')
        (tmp_path / f"engine-{name}.toml").write_text("[engine]\nport = 9000\n")
    with pytest.raises(ConfigError, match=r"b\.toml.*is of the model photos, as another config"):
        _models_to_serve([], [tmp_path / "a.toml", tmp_path / "b.toml"])
    with pytest.raises(ConfigError, match=r"engine-b\.toml.*holds \[engine\] alone, as .*engine-a"):
        _engine_settings([tmp_path / "engine-a.toml", tmp_path / "engine-b.toml"])
