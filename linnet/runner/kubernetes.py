"""What a pipeline asks of Kubernetes, in a laptop's way: claims, secrets and config maps are folders.

`.linnet/volumes/CLAIM`, `.linnet/secrets/NAME/KEY`, `.linnet/config_maps/NAME/KEY`: the folder is the
declaration, as the object is on a cluster. A task sees them where it mounts them (`mounts`), or as
variables. Labels and annotations reach a task that asks for them; where a pod is placed changes no
result, and is noted. Read beside backend/src/v2/driver/k8s.go.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.errors import RunError
from linnet.runner.dag import Node
from linnet.runner.mounts import Mount
from linnet.storage.paths import state_dir

STATE_CLAIM = "linnet-state"
"""The claim that the training pipeline mounts: on a laptop it is the state folder, known to every task."""
CREATE, DELETE = "argostub/createpvc", "argostub/deletepvc"
"""Images that nobody runs: a cluster's driver does it itself, and so does the engine."""
NOTED = {
    "imagePullSecret", "imagePullPolicy", "nodeAffinity", "nodeSelector", "podAffinity", "podMetadata",
    "securityContext", "tolerations",
}  # fmt: skip
"""Settings that place or name a pod: they can change no result, here or there."""
GIVEN = {
    "activeDeadlineSeconds", "configMapAsEnv", "configMapAsVolume", "emptyDirMounts", "fieldPathAsEnv",
    "enabledSharedMemory", "genericEphemeralVolume", "pvcMount", "secretAsEnv", "secretAsVolume",
}  # fmt: skip
MOUNTED = ("configMapAsVolume", "emptyDirMounts", "genericEphemeralVolume", "pvcMount", "secretAsVolume")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_KINDS = {"secret": ("secrets", "secretKey"), "configMap": ("config_maps", "configMapKey")}


@dataclass
class Pod:
    """What a task's pod would be given."""

    environment: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pod_of(settings: dict[str, Any], node: Node, scratch: Path) -> Pod:
    """Resolves a task's Kubernetes settings; `scratch`: a folder of the task for what lasts as long as it.

    Raises:
        RunError: a claim, secret or config map that it needs is not here.
    """
    pod = Pod()
    for kind, (folder, key) in _KINDS.items():
        for item in settings.get(f"{kind}AsEnv", []):
            pod.environment |= _variables(item, kind, folder, key, node)
        for item in settings.get(f"{kind}AsVolume", []):
            if (found := _object(item, kind, folder, node)) is not None:
                pod.mounts.append(Mount(found, _target(item, node), read_only=True))
    for item in settings.get("pvcMount", []):
        if (claim := _claim(item, node)) != STATE_CLAIM:
            pod.mounts.append(Mount(_volume(claim, node), _target(item, node)))
    for item in [*settings.get("emptyDirMounts", []), *settings.get("genericEphemeralVolume", [])]:
        folder_of = scratch / str(len(pod.mounts))
        folder_of.mkdir(parents=True)
        pod.mounts.append(Mount(folder_of, _target(item, node)))
    pod.environment |= dict(_fields(settings, node))
    if placed := sorted(NOTED & set(settings) - {"podMetadata"}):
        pod.notes.append(f"runs on this machine: {', '.join(placed)} are for a cluster's scheduler")
    return pod


def is_state(item: dict[str, Any]) -> bool:
    """Whether a mount is that of the state folder."""
    source = item.get("pvcNameParameter", {}).get("runtimeValue", {})
    return STATE_CLAIM in (item.get("pvcName"), item.get("constant"), source.get("constant"))


def create_claim(arguments: dict[str, Any]) -> dict[str, Any]:
    """`CreatePVC`: a new folder for a claim; its outputs.

    Raises:
        RunError: it is there already, as on a cluster.
    """
    suffix = arguments.get("pvc_name_suffix")
    name = str(arguments.get("pvc_name") or f"{uuid.uuid4()}{suffix or ''}")
    folder = _folder("volumes", name)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise RunError(f"the volume claim {name!r} is there already: {folder}") from error
    return {"name": name}


def delete_claim(arguments: dict[str, Any]) -> dict[str, Any]:
    """`DeletePVC`: removes a claim's folder.

    Raises:
        RunError: there is none.
    """
    name = str(arguments.get("pvc_name", ""))
    folder = _folder("volumes", name)
    if not folder.is_dir():
        raise RunError(f"there is no volume claim {name!r} to delete: {folder}")
    shutil.rmtree(folder)
    return {}


def _variables(item: dict[str, Any], kind: str, folder: str, key: str, node: Node) -> dict[str, str]:
    found = {}
    source = _object(item, kind, folder, node)
    for entry in item.get("keyToEnv", []):
        file = source / str(entry[key]) if source is not None else None
        if file is not None and file.is_file():
            found[str(entry["envVar"])] = file.read_text("utf-8")
        elif source is not None and not item.get("optional"):
            raise RunError(
                f"task {node.path}: the {_words(kind)} {source.name!r} has no {entry[key]!r}: {file}"
            )
    return found


def _object(item: dict[str, Any], kind: str, folder: str, node: Node) -> Path | None:
    """The folder of a secret or config map; None if its name is an input without a value, or it may miss."""
    name = _named(item, f"{kind}Name", node)
    if not name:
        return None
    found = _folder(folder, name)
    if found.is_dir():
        return found
    if item.get("optional"):
        return None
    raise RunError(
        f"task {node.path}: there is no {_words(kind)} {name!r}: put its keys as files into {found}"
    )


def _words(kind: str) -> str:
    return "config map" if kind == "configMap" else kind


def _claim(item: dict[str, Any], node: Node) -> str:
    name = _named(item, "pvcName", node) or item.get("constant")
    if not name:
        raise RunError(f"task {node.path}: the name of the volume claim at {item['mountPath']} has no value")
    return str(name)


def _volume(claim: str, node: Node) -> Path:
    folder = _folder("volumes", claim)
    if not folder.is_dir():
        raise RunError(f"task {node.path}: there is no volume claim {claim!r}: make the folder {folder}")
    return folder


def _folder(kind: str, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is not a name that Kubernetes allows (a-z, 0-9, '-' and '.')")
    return state_dir().absolute() / kind / name


def _target(item: dict[str, Any], node: Node) -> str:
    path = str(item["mountPath"]).rstrip("/")
    if not path.startswith("/") or ".." in path.split("/"):
        raise RunError(f"task {node.path}: the mount path {item['mountPath']!r} is not absolute")
    return path


def _named(item: dict[str, Any], field_name: str, node: Node) -> str:
    """A name that is a constant, an input of the DAG or the output of a task before."""
    source = item.get(f"{field_name}Parameter")
    if source is None:
        return str(item.get(field_name, ""))
    if "runtimeValue" in source:
        return str(source["runtimeValue"]["constant"])
    if "taskOutputParameter" in source:
        producer = source["taskOutputParameter"]
        outputs = node.scope.nodes[producer["producerTask"]].outputs
        return str(outputs.get(producer["outputParameterKey"]) or "")
    return str(node.scope.inputs.get(source.get("componentInputParameter", "")) or "")


def _fields(settings: dict[str, Any], node: Node) -> Iterator[tuple[str, str]]:
    about = settings.get("podMetadata", {})
    for item in settings.get("fieldPathAsEnv", []):
        path = str(item.get("fieldPath", ""))
        if (match := _FIELD.fullmatch(path)) is not None:
            yield str(item["name"]), str(about.get(match[1], {}).get(match[2], ""))
        elif path == "metadata.name" and item["name"] != "LINNET_RUN_ID":
            yield str(item["name"]), node.path


def unknown_fields(settings: dict[str, Any]) -> list[str]:
    """Fields of the pod that a task asks for and that nothing here stands for."""
    asked = [item for item in settings.get("fieldPathAsEnv", []) if item.get("name") != "LINNET_RUN_ID"]
    paths = [str(item.get("fieldPath")) for item in asked]
    return [path for path in paths if path != "metadata.name" and not _FIELD.fullmatch(path)]
