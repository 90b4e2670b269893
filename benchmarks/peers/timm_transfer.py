"""timm's training script on a folder of `benchmarks.transfer_peers`: FOLDER TRAIN.PY [EPOCHS].

Everything that the script leaves open is its default, but for what one changes to fine-tune: AdamW at 0.0005,
no warm-up, batches of 32. Writes the classes that it names on the test pictures, in their order.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

folder, script = Path(sys.argv[1]), sys.argv[2]
epochs = sys.argv[3] if len(sys.argv) > 3 else "1"
about = json.loads((folder / "about.json").read_text())
name, classes = about["network"], about["classes"]
subprocess.run(
    [sys.executable, script, "--data-dir", folder, "--train-split", "train", "--val-split", "test",
     "--model", name, "--num-classes", str(classes), "--device", "cpu", "--pretrained",
     "--pretrained-path", folder / "weights.pth", "--opt", "adamw", "--lr", "0.0005", "--epochs", epochs,
     "--warmup-epochs", "0", "--batch-size", "32", "--workers", "1", "--crop-pct", "1.0",
     "--output", folder, "--experiment", "timm"],
    check=True, stdout=sys.stderr,
)  # fmt: skip
saved = torch.load(folder / "timm/last.pth.tar", map_location="cpu", weights_only=False)
model = timm.create_model(name, num_classes=classes).eval()
model.load_state_dict(saved["state_dict"])
settings = timm.data.resolve_data_config({"crop_pct": 1.0}, model=model)
look = timm.data.create_transform(**settings)
said = {}
with torch.inference_mode():
    for file in (folder / "test").rglob("*.png"):
        said[int(file.stem)] = int(model(look(Image.open(file))[None]).argmax())
np.save(folder / "said.npy", [said[place] for place in sorted(said)])
print(f"timm {timm.__version__}, its train.py, epochs: {epochs}")
