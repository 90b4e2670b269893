"""What Feast's command line finds: `feast -c feature_repo plan` (use case `fashion`).

For another use case name the settings that Linnet wrote, by absolute path:
`FEAST_FS_YAML_FILE_PATH=$PWD/.linnet/feast/NAME/feature_store.yaml feast -c feature_repo plan`.
"""

from __future__ import annotations

import os
from pathlib import Path

from views import definitions

_settings = os.environ.get("FEAST_FS_YAML_FILE_PATH")
_home = Path(os.environ.get("LINNET_HOME", Path(__file__).parents[1] / ".linnet")).resolve()
_store = Path(_settings).resolve().parent if _settings else _home / "feast" / "fashion"

(
    sample,
    model_input,
    image_statistics,
    labels,
    image_statistics_on_demand,
    image_classifier_v1,
    image_classifier_v1_request,
    training_labels_v1,
) = definitions(_store / "offline")
