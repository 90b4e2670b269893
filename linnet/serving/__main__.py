"""`python -m linnet.serving`: one server for one model package, or for several models by their names."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from linnet.config import ServingConfig
from linnet.errors import ConfigError, LinnetError
from linnet.serving.server import Launch, ModelLaunch, serve

_OVERRIDES = ("host", "port", "workers", "threads", "max_body_mb", "log_images", "log_queue")


def parse_arguments(arguments: list[str]) -> Launch:
    """The launch that a command line asks for; flags win over --config-json.

    Raises:
        ConfigError: a setting is wrong.
    """
    parser = argparse.ArgumentParser("python -m linnet.serving", description=__doc__)
    parser.add_argument("--package", type=Path, help="folder that `package` wrote")
    parser.add_argument("--version", help="version that answers carry")
    parser.add_argument("--name", help="model name in the addresses (default: the package's)")
    parser.add_argument(
        "--models-json",
        help='several models instead: [{"name", "version", "package", and "config" for limits of its own}]',
    )
    parser.add_argument(
        "--unserved-json", default="{}", help="models of which no package was found: {name: why}, to be told"
    )
    parser.add_argument("--state-file", type=Path, help="gets url, pid and admin token when ready")
    parser.add_argument("--log-dir", type=Path, help="folder of the prediction log (default: no log)")
    parser.add_argument("--keys", type=Path, help="file of API keys (default: none)")
    parser.add_argument("--parent", type=int, help="end when this process, which started the server, is gone")
    parser.add_argument("--config-json", default="{}", help="the `serving` section of the config as JSON")
    for field in _OVERRIDES:
        kind = int if ServingConfig.model_fields[field].annotation is int else float
        kind = str if field == "host" else kind  # type: ignore[assignment]
        parser.add_argument(f"--{field.replace('_', '-')}", type=kind, help=f"the setting serving.{field}")
    options = parser.parse_args(arguments)
    try:
        values: dict[str, Any] = dict(json.loads(options.config_json))
        unserved = {str(name): str(why) for name, why in dict(json.loads(options.unserved_json)).items()}
    except (TypeError, ValueError) as error:
        raise ConfigError("--config-json, --unserved-json", f"is not a JSON object: {error}") from error
    values |= {field: given for field in _OVERRIDES if (given := getattr(options, field)) is not None}
    one = (options.package, options.version)
    if (options.models_json is None) != all(value is not None for value in one):
        parser.error("give --package and --version for one model, or --models-json for several")
    models = (
        _models(options.models_json)
        if options.models_json is not None
        else (ModelLaunch(options.package, options.version, options.name),)
    )
    return Launch(
        models=models,
        config=ServingConfig.parse(values),
        state_file=options.state_file,
        log_dir=options.log_dir,
        parent=options.parent,
        keys=options.keys,
        unserved=unserved,
    )


def _models(text: str) -> tuple[ModelLaunch, ...]:
    try:
        entries = json.loads(text)
        found = tuple(
            ModelLaunch(
                Path(entry["package"]),
                str(entry["version"]),
                str(entry["name"]),
                ServingConfig.parse(entry["config"]) if "config" in entry else None,
            )
            for entry in entries
        )
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            "--models-json", f"must be a list of objects with name, version and package ({error!r})"
        ) from error
    if not found or len({model.name for model in found}) < len(found):
        raise ConfigError("--models-json", "must name at least one model, and none twice")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the server; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        serve(parse_arguments(sys.argv[1:] if arguments is None else arguments))
    except LinnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
