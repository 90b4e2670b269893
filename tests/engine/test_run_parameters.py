"""A run that may not name what it names is told of the configs that could have named it."""

from __future__ import annotations

import pytest

from linnet.config import DataConfig
from linnet.engine.api_errors import ApiError
from linnet.engine.run_parameters import refuse_foreign_places


def test_refusal_names_a_config_that_cannot_be_read() -> None:
    """It said that no config names the place, and meant none that it could read."""
    sections = {"data": DataConfig(location="/srv/photos")}
    with pytest.raises(ApiError, match=r"data\.location") as caught:
        refuse_foreign_places(sections, [], ["configs/shop.toml: is not TOML"])
    assert "left out, as it cannot be read: configs/shop.toml" in caught.value.problem
    with pytest.raises(ApiError) as plain:
        refuse_foreign_places(sections, [])
    assert "left out" not in plain.value.problem
