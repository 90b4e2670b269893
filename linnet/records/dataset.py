"""Records of the data side: the dataset, its validation, the labels and the training set."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from linnet.config import DEFAULT_TASK
from linnet.records.record import Record


class DatasetManifest(Record):
    """What `ingest` wrote: `manifest.json` beside the Parquet shards of the sample table.

    Columns of a shard: sample_id (str, 32 hex digits: digest of the decoded pixels), image (bytes,
    PNG or the original encoding), label (str, class name), label_source (str: `dataset`, or
    `feedback/` and the production window that it is of), split (str),
    captured_at (timestamp[us, UTC]), width, height, channels (int32, of the decoded image), origin
    (str: where in the raw dataset), and `cohort_<name>` (str) a configured cohort.
    """

    name: str
    task: str = DEFAULT_TASK
    """What is asked of an image: `config.Task`."""
    digest: str
    """Digest of the raw dataset version (the `.dvc` file's, or of the folder's contents)."""
    revision: str
    """Git revision of the `.dvc` file, or empty."""
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Images a split and class; where an image may have several, it counts for each."""
    images: dict[str, int] = {}
    """Images a split; empty in what was written before an image could have several classes."""
    shards: tuple[str, ...]
    rows: int
    raw_rows: int
    """Images in the raw dataset, before duplicates were dropped."""
    dropped_duplicates: int
    """Images dropped because an earlier image of the same official split has the same pixels."""
    dropped_leaks: int
    """Training images dropped because the same pixels stand in the test split."""
    dropped: tuple[str, ...]
    """Origins of dropped images with the reason (the first 1,000)."""
    cohorts: tuple[str, ...] = ()
    conflicts: int = 0
    """Rows whose pixels have another label elsewhere; `data.conflicts` says what became of them."""
    near_leaks: int = 0
    """Images that nearly repeat one of another official split; dropped, unless they are only reported."""
    near_duplicates: tuple[str, ...] = ()
    """Pairs of nearly equal images (the first 1,000)."""
    near_pairs: int = 0
    """All such pairs; 0 in a manifest of an older Linnet that names some."""
    near_conflicts: int = 0
    """Those of them whose labels differ; both images are kept: one of the labels may be wrong."""
    near_note: str = ""
    """Which of them were not looked for, and why; empty: all were."""
    left_out: dict[str, int] = {}
    """What lies in the folder and is no sample, counted by reason: no image, hidden, a link to nothing."""
    notes: tuple[str, ...] = ()
    """How a folder was read, and what in it could not be: a sentence each."""
    bad: int = 0
    """Images that were left out because they cannot be decoded, or are too large (`data.bad_files`)."""
    bad_files: tuple[str, ...] = ()
    """Each of these (the first 1,000) with its reason."""
    windows: dict[str, dict[str, int]] = {}
    """Images a split of each labelled production window that joined; they are in `counts`, too."""

    @property
    def findings(self) -> dict[str, int]:
        """What was found among the raw images, counted by what it is, for every page that tells of it."""
        return {
            "bad file: cannot be used as an image": self.bad,
            "conflict: equal pixels with different labels": self.conflicts,
            "duplicate of another image": self.dropped_duplicates,
            "leak: the same pixels in the test split": self.dropped_leaks,
            "near leak: nearly an image of another split": self.near_leaks,
            "pair of nearly equal images": max(self.near_pairs, len(self.near_duplicates)),
            "pair of nearly equal images with different labels": self.near_conflicts,
            **self.left_out,
        }

    @property
    def named_findings(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """What is known by name: what it is, how many there are, and the first 1,000 of them."""
        dropped = max(self.raw_rows - self.rows - self.bad, len(self.dropped))
        pairs = max(self.near_pairs, len(self.near_duplicates))
        return [
            ("Files that cannot be used as images", self.bad, self.bad_files),
            ("Images that were dropped", dropped, self.dropped),
            ("Pairs of nearly equal images", pairs, self.near_duplicates),
        ]

    def images_of(self, split: str) -> int:
        """Images of a split."""
        return self.images[split] if self.images else sum(self.counts.get(split, {}).values())


class ExpectationResult(Record):
    name: str
    passed: bool
    detail: str
    rows: tuple[str, ...] = ()
    """Sample ids or origins that broke it (the first 20)."""


class ValidationReport(Record):
    """What `validate` found: `validation.json`."""

    dataset_digest: str
    passed: bool
    results: tuple[ExpectationResult, ...]
    counts: dict[str, int]
    """Training images a class, kept to measure the drift of the next version."""


class LabelBatch(Record):
    """The labels that `collect_labels` froze for a run: `labels.json` beside `labels.parquet`.

    Columns of labels.parquet: sample_id (str), label (str), annotator (str), agreement (float64),
    labelled_at (timestamp[us, UTC]), created_at (timestamp[us, UTC]), batch (str), reason (str).
    """

    as_of: datetime
    rows: int
    digest: str
    corrections: int
    """Labels that differ from the dataset's own."""
    quarantined: int = 0
    """Answers left out because their sample or label is unknown; listed in quarantine.jsonl."""
    disputed: int = 0
    """Samples left out because the annotators are tied or agree too little; in disputed.jsonl."""
    by_majority: int = 0
    """Samples of several answers that crowdlab was to weigh and could not, as no model's answer of today's
    classes is known of them: most votes decided."""
    version: str = ""
    """Digest of the label set that the labels were taken from; empty: the table as it was then."""


class LabelSet(Record):
    """Answers frozen by `linnet labels snapshot`: `label_set.json`, answers.parquet, consensus.csv."""

    name: str
    as_of: datetime
    """When the newest of its answers became known."""
    batch: str
    """The labelling round that caused it; empty: a person did."""
    answers: int
    samples: int
    """Samples with a majority."""
    skipped: int
    cannot_tell: int
    annotators: tuple[str, ...]
    kappa: float | None
    """Fleiss' kappa over the samples with several answers."""


class TrainingSetManifest(Record):
    """What `build_features` wrote: `training_set.json` beside the arrays, a set for each split.

    images-SPLIT.npy uint8 [N, height, width, channels] (as the model sees them), labels-SPLIT.npy int64
    [N] (index in classes), features-SPLIT.npy float32 [N, F], ids-SPLIT.npy S32 [N] (sample_id), and
    cohorts-SPLIT.npz (a value a sample: unicode [N] by cohort, always with `brightness`).
    """

    task: str = DEFAULT_TASK
    """What is asked of an image: `config.Task`."""
    classes: tuple[str, ...]
    features: tuple[str, ...]
    """Names of the feature columns, in order."""
    feature_service: str
    height: int
    width: int
    channels: int
    dataset_digest: str
    labels_digest: str
    counts: dict[str, int]
    """Samples a split."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How images of another shape were brought to height and width: `vision.decode.resize`."""
    max_pixels: int = 134_217_728
    """Most pixels of an image that was trained on, and that is answered: `data.max_pixels`."""
    max_image_mb: float = 100.0
    """Largest file in megabytes, likewise: `data.max_image_mb`."""
