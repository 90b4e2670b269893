"""The reference says what the code says, and every setting has a meaning that can be shown."""

from __future__ import annotations

from docs.generate import REFERENCE, reference
from linnet.config import SECTIONS, GatesConfig, ReleaseConfig


def test_reference_is_fresh() -> None:
    assert REFERENCE.read_text("utf-8") == reference(), "the code has changed: run `make docs`"


def test_reference_shows_type_limits_default_and_meaning() -> None:
    assert (
        "| `epochs` | whole number, ≥ 0, ≤ 10,000 | `8` | Passes over the training images; 0: only "
        in reference()
    )


def test_settings_all_have_a_meaning() -> None:
    fields = [
        (section, name, model.meaning(name))
        for section, model in SECTIONS.items()
        for name in model.model_fields
    ]
    assert len(fields) > 60
    assert [(section, name) for section, name, meaning in fields if not meaning] == []


def test_decisions_name_only_settings_that_exist() -> None:
    page = (REFERENCE.parent / "decisions.md").read_text("utf-8")
    for name in ("min_accuracy", "min_macro_f1", "min_auc", "min_worst_recall", "max_ece", "max_cohort_gap"):
        assert f"`{name}`" in page and name in GatesConfig.model_fields
    for name in ("deadline_seconds", "alpha"):
        assert f"`{name}`" in page and name in ReleaseConfig.model_fields
