"""What stands in the metadata of installed distributions, read quickly, is what Python's own reader says."""

from __future__ import annotations

import re
import sysconfig
from importlib import metadata

from linnet.cache import packages


def test_what_is_read_of_distributions_is_what_importlib_says() -> None:
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = packages._read(folders)
    own = {packages._normal(one.metadata["Name"]): one for one in metadata.distributions(path=folders)}
    assert found["versions"].keys() == own.keys() and len(own) > 100
    for name in sorted(own)[::8]:  # Python's reader takes a while
        assert found["versions"][name] == own[name].version
        needs = [text for text in own[name].requires or () if "extra ==" not in text]
        assert found["needs"][name] == [packages._normal(re.split(r"[^\w.-]", text)[0]) for text in needs]
        tops = {
            file.parts[0] for file in own[name].files or () if file.suffix == ".py" and len(file.parts) > 1
        }
        for top in tops - {"..", "__pycache__"}:
            assert name in found["providers"][top.split(".")[0]]
