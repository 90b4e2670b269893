"""What the numbers of a prediction depend on besides the model: libraries, and our own preprocessing.

The package carries the versions it was proved with, and a server those it runs with, so that a skew
audit can name a library that changed between them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("numpy", "pillow", "onnxruntime")
_CODE = ("color.py", "cost.py", "decode.py", "formats.py", "statistics.py")
PREPROCESSING = "linnet preprocessing"


@cache
def libraries() -> dict[str, str]:
    """Version by name: numpy, pillow, onnxruntime, and a digest of the code that prepares an image."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    digest = hashlib.blake2b(digest_size=8)
    for name in _CODE:
        digest.update((Path(__file__).parent / name).read_bytes())
    return {**found, PREPROCESSING: digest.hexdigest()}
