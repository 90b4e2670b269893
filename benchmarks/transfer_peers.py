"""timm's own training script and fastai on a split of `benchmarks.transfer`, each in a process of its own.

Both start from the weights that Linnet's preset starts from, learn from training and validation split, and
name the pictures of the test split. They look at pictures that are brought to the network's size already.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.transfer_sets import PictureSet
from linnet.config import PHOTO_BACKBONE
from linnet.errors import LinnetError
from linnet.vision.decode import encode_png

_HERE = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """`timm` with its script, or `fastai` with the Python that has it."""

    name: str
    where: str

    def command(self, folder: Path) -> list[str]:
        python = self.where if self.name == "fastai" else sys.executable
        script = [] if self.name == "fastai" else [self.where]
        return [python, str(_HERE / f"{self.name}_transfer.py"), str(folder), *script]


def asked(peer: Peer, pictures: PictureSet, rows: dict[str, np.ndarray], scratch: Path) -> dict[str, object]:
    """What a peer reaches on the test split, with its seconds of the wall and of the processor.

    Raises:
        LinnetError: it failed; says how.
    """
    from sklearn.metrics import f1_score

    folder = scratch / f"peers {pictures.name}"
    if not folder.is_dir():
        _write(folder, pictures, rows)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(peer.command(folder), capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise LinnetError(f"{peer.name}: {done.stderr[-2000:]}")
    named, labels = np.load(folder / "said.npy"), pictures.labels[rows["test"]]
    (folder / "said.npy").unlink()
    return {
        "set": pictures.name,
        "peer": done.stdout.strip().splitlines()[-1],
        "accuracy": round(float((named == labels).mean()), 4),
        "macro F1": round(float(f1_score(labels, named, average="macro")), 4),
        "seconds": round(time.perf_counter() - began, 1),
        "processor seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }


def _write(folder: Path, pictures: PictureSet, rows: dict[str, np.ndarray]) -> None:
    """Class folders below `train` (with the validation split) and `test`, and the weights by timm's names."""
    import timm
    import torch

    from linnet.config import TrainConfig
    from linnet.training.pretrained import take_pretrained

    for name, some in {
        "train": np.concatenate([rows["train"], rows["validation"]]),
        "test": rows["test"],
    }.items():
        for label in range(len(pictures.classes)):
            (folder / name / f"{label:03}").mkdir(parents=True)
        for place, row in enumerate(some):
            file = folder / name / f"{pictures.labels[row]:03}" / f"{place:06}.png"
            file.write_bytes(encode_png(np.ascontiguousarray(pictures.images[row])))
    backbone = timm.create_model(PHOTO_BACKBONE, pretrained=False, num_classes=0)
    take_pretrained(backbone, PHOTO_BACKBONE, TrainConfig())
    torch.save(backbone.state_dict(), folder / "weights.pth")
    about = {"network": PHOTO_BACKBONE, "classes": len(pictures.classes)}
    (folder / "about.json").write_text(json.dumps(about), "utf-8")
