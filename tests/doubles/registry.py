"""A registry in memory: for tests and trials; gone with the process."""

from __future__ import annotations

from pathlib import Path

from linnet.errors import RegistryError
from linnet.records import EvaluationReport, ModelVersion, now
from linnet.registry.protocol import Alias, Submission, package_digest


class MemoryRegistry:
    """Fulfils `Registry`; packages are served from where they lay when they were registered."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[ModelVersion, Path]]] = {}
        self._aliases: dict[tuple[str, str], str] = {}

    def register(self, submission: Submission) -> ModelVersion:
        """See `Registry.register`."""
        digest = package_digest(submission.package)
        stored = self._versions.setdefault(submission.model, [])
        for version in self.versions(submission.model):
            if version.tags["package_digest"] == digest:
                return version
        report = EvaluationReport.load(submission.evaluation / "evaluation.json")
        version = ModelVersion(
            name=submission.model,
            version=str(len(stored) + 1),
            aliases=(),
            created_at=now(),
            run_id=f"memory-{len(stored) + 1}",
            tags={**submission.tags, "package_digest": digest},
            metrics={name: interval.value for name, interval in report.metrics.items()},
        )
        stored.append((version, submission.package))
        return version

    def models(self) -> list[str]:
        """See `Registry.models`."""
        return sorted(self._versions)

    def versions(self, model: str) -> list[ModelVersion]:
        """See `Registry.versions`."""
        found = [version for version, _ in self._versions.get(model, [])]
        return [version.model_copy(update={"aliases": self._of(version)}) for version in reversed(found)]

    def alias(self, model: str, alias: Alias) -> str | None:
        """See `Registry.alias`."""
        return self._aliases.get((model, alias))

    def set_alias(self, model: str, alias: Alias, version: str | None) -> None:
        """See `Registry.set_alias`."""
        if version is None:
            self._aliases.pop((model, alias), None)
        else:
            self.package_folder(model, version)
            self._aliases[model, alias] = version

    def package_folder(self, model: str, version: str) -> Path:
        """See `Registry.package_folder`."""
        for found, folder in self._versions.get(model, []):
            if found.version == version:
                return folder
        raise RegistryError(f"model {model} has no version {version}: see `linnet models list`")

    def _of(self, version: ModelVersion) -> tuple[str, ...]:
        pairs = self._aliases.items()
        return tuple(sorted(a for (m, a), v in pairs if m == version.name and v == version.version))
