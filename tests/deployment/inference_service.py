"""What KServe's published CRD says of the fields that Linnet reads and writes.

Facts from config/crd/full/serving.kserve.io_inferenceservices.yaml of kserve/kserve (Apache-2.0), read at
commit 67bcf1a466459db33e7aa66b5547cdfb1aebd602, and from the model classes of the package kserve 0.21.0.
Fields that Linnet does not touch are left out; the stand-in refuses what is not named here, as the API
server does with strict field validation.
"""

from __future__ import annotations

from typing import Any


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
MODEL = _object(
    {
        "modelFormat": _object({"name": TEXT, "version": TEXT}, required=["name"]),
        "name": TEXT,
        "protocolVersion": TEXT,
        "runtime": TEXT,
        "runtimeVersion": TEXT,
        "storage": _object({"key": TEXT, "path": TEXT, "schemaPath": TEXT, "parameters": TEXTS}),
        "storageUri": TEXT,
    },
)
TRAFFIC = _object(
    {
        "configurationName": TEXT,
        "latestRevision": {"type": "boolean"},
        "percent": NUMBER,
        "revisionName": TEXT,
        "tag": TEXT,
        "url": TEXT,
    }
)
COMPONENT = _object(
    {
        "latestCreatedRevision": TEXT,
        "latestReadyRevision": TEXT,
        "latestRolledoutRevision": TEXT,
        "previousRolledoutRevision": TEXT,
        "traffic": {"type": "array", "items": TRAFFIC},
        "url": TEXT,
    }
)
TRANSITIONS = ["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]
REASONS = [
    "ModelLoadFailed",
    "RuntimeUnhealthy",
    "RuntimeDisabled",
    "NoSupportingRuntime",
    "RuntimeNotRecognized",
    "InvalidPredictorSpec",
]
STATUS = _object(
    {
        "components": {"type": "object", "additionalProperties": COMPONENT},
        "modelStatus": _object(
            {
                "lastFailureInfo": _object(
                    {"message": TEXT, "reason": {"enum": REASONS}, "modelRevisionName": TEXT}
                ),
                "transitionStatus": {"enum": TRANSITIONS},
            },
            required=["transitionStatus"],
        ),
        "observedGeneration": NUMBER,
        "url": TEXT,
    }
)
INFERENCE_SERVICE = _object(
    {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": _object(
            {
                "name": TEXT,
                "namespace": TEXT,
                "annotations": TEXTS,
                "labels": TEXTS,
                "resourceVersion": TEXT,
                "generation": NUMBER,
            },
            required=["name", "namespace"],
        ),
        "spec": _object(
            {
                "predictor": _object(
                    {
                        # The CRD says integer only; KServe's webhook refuses what is no percentage.
                        "canaryTrafficPercent": {"type": "integer", "minimum": 0, "maximum": 100},
                        "minReplicas": NUMBER,
                        "maxReplicas": NUMBER,
                        "model": MODEL,
                    }
                )
            },
            required=["predictor"],
        ),
        "status": STATUS,
    },
    required=["apiVersion", "kind", "metadata", "spec"],
)
