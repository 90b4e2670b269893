"""Sections of the data side: the dataset, its checks, labels and features."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from linnet.config.class_names import normal, problem_of
from linnet.config.places import Address, Credential, File, FileOrAddress
from linnet.config.section import Fraction, Section

Layout = Literal[
    "auto",
    "splits",
    "classes",
    "names",
    "tables",
    "webdataset",
    "coco",
    "voc",
    "yolo",
    "label-studio",
    "masks",
]
"""How a folder of images can be read; `auto` is refused where two readings are possible."""

Task = Literal["classification", "multilabel", "detection", "segmentation"]
"""What is asked of an image; each is a folder of `linnet.tasks`."""
DEFAULT_TASK: Task = "classification"
"""Of configs, and of what was written before there were several."""


class DataConfig(Section):
    renamed: ClassVar = {"recent": "extra_window"}
    kind: Literal["idx", "folder", "manifest"] = "folder"
    """How the raw dataset is laid out: IDX files, one folder per class, or a CSV/Parquet of paths."""
    location: FileOrAddress = "data.dvc"
    """A `.dvc` file that names the dataset by digest, or the path of the raw folder or manifest, or where
    such a folder, manifest or archive lies: s3://, gs://, az://, https://."""
    layout: Layout = "auto"
    """How a folder is read: folders named after splits, or after classes; names of files; tables; `.cls`
    files; an export; or masks beside images. `linnet init` writes what it understood; auto refuses where two
    are possible."""
    task: Task = DEFAULT_TASK
    """What is asked of an image: one class of several that exclude each other (classification), all those of
    several that it shows (multilabel), the boxes of all objects (detection), or the class of each pixel
    (segmentation)."""
    revision: str = ""
    """Git revision of the `.dvc` file; empty: as it is in the working tree."""
    classes: tuple[str, ...] = ()
    """Class names in label order; empty: taken from the folders or the manifest, sorted."""
    height: int = Field(default=28, ge=4, le=1024)
    """Height in pixels that every image is resized to."""
    width: int = Field(default=28, ge=4, le=1024)
    """Width in pixels that every image is resized to."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How an image of another shape is brought to that size: stretched, its middle cut out, or bars added."""
    color: Literal["gray", "rgb"] = "gray"
    """Color mode that every image is converted to."""
    validation_fraction: Fraction = Field(default=0.05, gt=0, lt=0.5)
    """Share of the training images held out to choose temperature and to watch training."""
    production_fraction: Fraction = Field(default=0.05, gt=0, lt=0.5)
    """Share of the training images held out to be replayed as traffic during the canary."""
    test_fraction: Fraction = Field(default=0.15, gt=0, lt=0.5)
    """Share held out for the test; used only where the dataset brings no test split of its own."""
    cohorts: tuple[str, ...] = ()
    """Manifest columns whose values are reported as cohorts."""
    captured_at: str = "1970-01-01T00:00:00Z"
    """Capture time (ISO 8601, UTC) of images that carry none; a manifest's `captured_at` wins."""
    max_pixels: int = Field(default=134_217_728, ge=64, le=178_956_970)
    """What an image may be, here and in the server: one with more pixels is refused before it is decoded.
    At 4 bytes each they bound memory, so that a costly format (WebP, AVIF, JPEG 2000, progressive JPEG)
    may have fewer. Photos beyond 16.8 million are decoded at a half or a quarter of each side."""
    max_image_mb: float = Field(default=100.0, gt=0, le=2000)
    """What an image may be, here and in the server: a larger file in megabytes is refused."""
    bad_files: Literal["leave out", "fail"] = "leave out"
    """Files that cannot be read as images, or are too large: they are named, counted and left out, or the
    run stops."""
    max_bad_fraction: Fraction = Field(default=0.02, ge=0, lt=1)
    """Largest share of bad files that may be left out; more stop the run."""
    group: str = ""
    """What never straddles splits (a patient, a video, an object): a column of the manifest, or a regular
    expression on the path of an image, whose first group (or whole match) names it; empty: nothing."""
    conflicts: Literal["leave out", "first", "fail"] = "leave out"
    """Equal pixels with different labels: none of them is used, the first by path is, or the run stops."""
    near_duplicates: Literal["one side", "report", "ignore"] = "one side"
    """Nearly equal images (re-encoded, resized by little): they stand in one split, and leave training
    where the dataset itself holds a copy out; or they are only counted; or not looked for."""
    windows: Literal["train", "test"] = "train"
    """What later runs do with the labelled production windows that retraining kept: train on most of each and
    test on the rest, or test alone. The test is always made: what was gained is asked for again."""
    extra_window: File = ""
    """Folder of a labelled production window, as retraining writes it, that is trained on whatever `windows`
    says; empty: none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.classes and len(self.classes) < 2:
            raise ValueError("classes: at least 2 are needed, or none to take them from the data")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: duplicate class name")
        for name in self.classes:
            if problem := problem_of(normal(name)):
                raise ValueError(f"classes: {name[:60]!r} {problem}")
        for column in self.cohorts:
            if problem := problem_of(normal(column)):
                raise ValueError(f"cohorts: {column[:60]!r} {problem}")
        held_out = self.validation_fraction + self.production_fraction + self.test_fraction
        if held_out >= 0.9:
            raise ValueError(f"the held-out fractions add up to {held_out:.2f}; leave some to train on")
        return self


class ValidationConfig(Section):
    min_per_class: int = Field(default=10, ge=1)
    """Fewest training images a class may have."""
    max_imbalance: float = Field(default=20.0, ge=1)
    """Largest allowed ratio between the biggest and the smallest class."""
    max_duplicate_fraction: Fraction = Field(default=0.05, ge=0, le=1)
    """Largest share of raw images that may have been dropped because their pixels came before."""
    max_conflict_fraction: Fraction = Field(default=0.02, ge=0, le=1)
    """Largest share of raw images whose pixels stand there with another label, too."""
    max_near_leak_fraction: Fraction = Field(default=0.05, ge=0, le=1)
    """Largest share of raw images that nearly repeat an image of another official split."""
    min_side: int = Field(default=2, ge=1)
    """Smallest side in pixels that an original image may have."""
    max_class_drift: float = Field(default=0.2, gt=0, le=1)
    """Largest Jensen-Shannon distance (base 2) of the class mix from the last accepted version."""


class LabelsConfig(Section):
    renamed: ClassVar = {
        "run_after": "train_after_labels",
        "third_opinion": "tie_breaker",
    }
    min_agreement: Fraction = Field(default=0.5, ge=0, le=1)
    """Corrections with less agreement among annotators than this are left out."""
    budget: int = Field(default=200, ge=0)
    """How many samples `request_labels` asks people about after a run."""
    requests_only: bool = False
    """Ask about images that users sent alone, drawn by chance among those kept so, as drift does."""
    annotators: int = Field(default=1, ge=1, le=20)
    """People who answer each question."""
    tie_breaker: bool = True
    """Where the annotators of a sample do not agree, one more is asked, once."""
    consensus: Literal["majority", "crowdlab"] = "majority"
    """How several answers become one: most votes, or votes and model weighed by their reliability."""
    pre_annotate: bool = True
    """Show the model's answer first; never for random, audit and gold tasks, which must be unbiased."""
    server: Address = ""
    """Address of a Label Studio server; empty: the one of this machine (`linnet labels up`)."""
    token_file: Credential = ""
    """File with the server's access token, one line; empty: the variable LABEL_STUDIO_TOKEN."""
    project: str = ""
    """Title of the project in Label Studio; empty: `Linnet` and the name of the use case."""
    images: Literal["data-uri", "server"] = "data-uri"
    """Where a task's image is: in the task itself, or uploaded to the server's storage."""
    train_after_labels: int = Field(default=0, ge=0)
    """Labels after which a training run is requested; 0: when every task of a batch is answered."""
    version: File = ""
    """A `.dvc` file of `linnet labels snapshot`: train with exactly those labels; empty: all known now."""


class FeaturesConfig(Section):
    service: str = "image_classifier_v1"
    """Feast feature service that the model is tied to."""
    online: bool = True
    """Whether features are also materialized to the online store."""
    online_splits: tuple[Literal["train", "validation", "test", "production"], ...] = ("production",)
    """Splits whose samples can be asked for by id while serving; training samples are not."""
