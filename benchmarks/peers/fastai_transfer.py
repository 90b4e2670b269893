"""fastai on a folder of `benchmarks.transfer_peers`, as its tutorial does it: fastai_transfer.py FOLDER.

`fine_tune(1)`: an epoch with a frozen backbone, then one in which all weights move. Writes the classes that
it names on the test pictures, in their order.
"""

import json
import sys
from pathlib import Path

import fastai
import numpy as np
import torch
from fastai.vision.all import (
    CrossEntropyLossFlat,
    ImageDataLoaders,
    Learner,
    Normalize,
    aug_transforms,
    default_split,
    get_image_files,
)
from fastai.vision.learner import create_timm_model

folder = Path(sys.argv[1])
about = json.loads((folder / "about.json").read_text())
mean = std = (0.5, 0.5, 0.5)  # of the network
data = ImageDataLoaders.from_folder(
    folder / "train", train=".", valid_pct=0.02, seed=0, bs=32, num_workers=1,
    batch_tfms=[*aug_transforms(size=224), Normalize.from_stats(mean, std, cuda=False)],
)  # fmt: skip
model, _ = create_timm_model(about["network"], about["classes"], pretrained=False)
weights = torch.load(folder / "weights.pth", weights_only=True)
missing, unexpected = model[0].model.load_state_dict(weights, strict=False)
assert not missing, missing
learner = Learner(data, model, loss_func=CrossEntropyLossFlat(), splitter=default_split, path=folder)
with learner.no_bar(), learner.no_logging():
    learner.freeze()
    learner.fine_tune(1)
    files = sorted(get_image_files(folder / "test"), key=lambda file: int(file.stem))
    given, _ = learner.get_preds(dl=learner.dls.test_dl(files, num_workers=0))
names = [int(learner.dls.vocab[number]) for number in given.argmax(dim=1)]
np.save(folder / "said.npy", names)
print(f"fastai {fastai.__version__}, fine_tune(1)")
