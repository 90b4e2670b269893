"""`python -m linnet.training`: trains on a box that has torch and numpy, and nothing else of Linnet's."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from linnet.cache.store import open_cache
from linnet.config import TrainConfig
from linnet.errors import ConfigError, LinnetError
from linnet.training import distributed
from linnet.training.progress import row_line, shown
from linnet.training.train import train


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; gives its exit status."""
    options = _parser().parse_args(arguments)
    try:
        config = read_config(options.config, options.set)
        with shown() as progress:
            cache = open_cache() if options.cache else None
            tell = row_line if distributed.is_worker() else None  # to who started the processes
            report = train(options.training_set, config, options.out, options.work, progress, cache, tell)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from the checkpoint in {options.work}", file=sys.stderr)
        return 130
    except LinnetError as error:
        if options.debug:
            raise
        prefix = distributed.ERROR_PREFIX if distributed.is_worker() else "error: "
        print(f"{prefix}{error}", file=sys.stderr)
        return error.exit_code
    if not distributed.is_worker():
        kept = report.kept
        print(
            f"{options.out}: validation accuracy {kept['validation_accuracy']:.4f} after "
            f"{kept['epoch']:.0f} epochs, "
            f"{report.seconds:.1f} s on {report.device} ({report.precision})"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m linnet.training", description=__doc__)
    parser.add_argument("--training-set", type=Path, required=True, help="folder that build_features wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.pt and training.json")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--config", type=Path, help="JSON file with the keys of the config's [train] section")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as epochs=3")
    parser.add_argument("--cache", action="store_true", help="keep a frozen backbone's activations")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def read_config(path: Path | None, settings: list[str]) -> TrainConfig:
    """The settings of a JSON file, if there is one, with KEY=VALUE words that win.

    Raises:
        ConfigError: the file or a setting is wrong.
    """
    values: dict[str, Any] = {}
    if path:
        try:
            values = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(str(path), f"is not a readable JSON file ({error})") from error
        if not isinstance(values, dict):
            raise ConfigError(str(path), "must hold a JSON object", 'such as {"epochs": 3}')
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}", "is not of the form key=value", "such as --set epochs=3")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value  # a word, such as cosine
    return TrainConfig.parse(values)


if __name__ == "__main__":
    sys.exit(main())
