"""A new champion on trial: the engine judges what it serves after its canary, and rolls back what is worse.

The judge is `linnet.deployment.bake`. A rollback by itself is one by a person in all but its reason: traffic,
alias, ledger, and it is for good (`linnet models allow`). A cool-down follows: the retraining policy asks for
no run meanwhile, and the champion that came back is not on trial.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from linnet.automation.bake_evidence import BakeCollector
from linnet.automation.periodic import Periodic
from linnet.automation.told_once import ToldOnce
from linnet.config import ReleaseConfig
from linnet.deployment.bake import bake_verdict, judge_bake
from linnet.deployment.bake_report import bake_file, bake_report
from linnet.deployment.rollout_commands import end_under_way
from linnet.errors import LinnetError, PromotionConflict, StorageError
from linnet.monitoring.log_tail import LogTail
from linnet.records import BakeReport, LedgerEntry, now
from linnet.registry.champion import ModelRegistry
from linnet.registry.connect import connect
from linnet.registry.ledger import ledger_of
from linnet.registry.promotion import BAKE, on_trial
from linnet.run.model_config import model_config
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.paths import prediction_log_dir, state_dir

LOOK_SECONDS = 30.0
ACTOR = "linnet (after the promotion)"
_LONGEST = timedelta(days=120)
"""A promotion that is older is not looked at, whatever its config says."""


class PromotionWatch:
    """The engine's part: `tick` is called every second."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self.clock = clock
        self._looks = Periodic("bake", LOOK_SECONDS)
        self._tell_once = ToldOnce()
        self._trials: dict[str, Trial] = {}

    def tick(self) -> None:
        """Begins a look, in a thread: it reads a log and may run a model."""
        if self._looks.due():
            self._looks.begin(self.judge_all)

    def judge_all(self) -> None:
        """Judges every champion on trial once; what keeps one from it is told once, and hides no other."""
        try:
            promotions = on_trial(ledger_of(state_dir()).entries())
        except LinnetError as error:
            self._tell_once(f"new champions are not judged: {error}")
            return
        recent = [entry for entry in promotions if self.clock() - entry.at < _LONGEST]
        self._trials = {e.model: self._trials[e.model] for e in recent if e.model in self._trials}
        for entry in recent:
            try:
                self._look_at(entry)
            except (LinnetError, OSError) as error:
                self._tell_once(f"{entry.model} version {entry.version} is not judged: {error}")

    def _look_at(self, entry: LedgerEntry) -> None:
        trial = self._trials.get(entry.model)
        if trial is None or trial.entry != entry:
            trial = None if _is_over(entry) else Trial.begin(entry)
        if trial is None:
            self._trials.pop(entry.model, None)
            return
        self._trials[entry.model] = trial
        if trial.judge(self.clock()).verdict != "baking":
            del self._trials[entry.model]  # with the last champion that it has loaded


def _is_over(entry: LedgerEntry) -> bool:
    """Whether this promotion was judged to the end already; a report that cannot be read says nothing."""
    try:
        report = bake_report(entry.model)
    except StorageError:
        return False
    same = report is not None and (report.version, report.promoted_at) == (entry.version, entry.at)
    return same and report is not None and report.verdict != "baking"


class Trial:
    """One promotion while it is judged."""

    def __init__(
        self,
        entry: LedgerEntry,
        registry: ModelRegistry,
        config: ReleaseConfig,
        collector: BakeCollector,
        doubt: str = "",
    ) -> None:
        """`doubt`: why `config` may not be the one that people mean."""
        self.entry, self._registry, self._config, self._collector = entry, registry, config, collector
        self._doubt = (doubt,) if doubt else ()
        self._ends = entry.at + timedelta(hours=config.bake_hours)

    @classmethod
    def begin(cls, entry: LedgerEntry) -> Trial | None:
        """The trial of a promotion; None: the model's config wants none, or its traffic is not ours to see.

        Raises:
            LinnetError: registry or packages cannot be read.
        """
        found = model_config(entry.model)
        config = found.config
        release = config.release
        if not release.bake_hours or release.kserve.service or not entry.previous:
            return None
        registry = connect(config.registry, ACTOR, traffic=ServerTraffic())
        span = timedelta(hours=release.bake_hours)
        collector = BakeCollector(
            version=entry.version,
            last=entry.previous,
            new_package=registry.package_folder(registry.version(entry.model, entry.version)),
            last_package=registry.package_folder(registry.version(entry.model, entry.previous)),
            most=release.bake_images,
            tail=LogTail(prediction_log_dir(), entry.model, entry.at - span, entry.at + span),
        )
        return cls(entry, registry, release, collector, found.doubt)

    def judge(self, moment: datetime) -> BakeReport:
        """Looks once, acts on what is proven, and writes down what is known.

        Raises:
            LinnetError: log, registry or last champion cannot be read; the next look tries again.
        """
        report = self._judged(moment)
        if report.verdict == "rollback":
            report = self._rolled_back(report)
        report.save(bake_file(self.entry.model))
        return report

    def _judged(self, moment: datetime) -> BakeReport:
        evidence = self._collector.collect()
        until = self._ends + timedelta(days=self._config.bake_label_days)
        judgements = judge_bake(evidence, self._config, self._collector.baseline)
        verdict, reason = bake_verdict(judgements, over=moment >= until)
        state: Literal["baking", "kept", "rollback", "superseded"] = verdict or "baking"
        champion = self._registry.champion(self.entry.model)
        if champion is None or champion.version != self.entry.version:
            state = "superseded"
            reason = f"version {champion.version if champion else 'none'} is champion now"
        return BakeReport(
            model=self.entry.model, version=self.entry.version, last=str(self.entry.previous),
            promoted_at=self.entry.at, ends_at=self._ends, labels_until=until, at=moment,
            verdict=state, reason=reason, images=int(evidence.served.answers),
            labelled=int(evidence.served.answered), same_images=int(evidence.gains.n), judgements=judgements,
            notes=self._doubt + self._collector.notes(),
        )  # fmt: skip

    def _rolled_back(self, report: BakeReport) -> BakeReport:
        """Takes the champion back; until that is possible it stays on trial, and the report says why."""
        model = self.entry.model
        reason = f"after its promotion proven worse than version {report.last}: {report.reason}"
        evidence = {
            BAKE: self.entry.at.isoformat(),
            "images": report.images,
            "labelled": report.labelled,
            "verdicts": {one.metric: one.verdict for one in report.judgements},
        }
        try:
            end_under_way(model, ACTOR, reason)
            self._registry.rollback(model, reason, expected=self.entry.version, evidence=evidence)
        except PromotionConflict as error:
            return report.model_copy(update={"verdict": "superseded", "reason": str(error)})
        except LinnetError as error:
            print(f"{model} version {self.entry.version} is not rolled back: {error}", flush=True)
            return report.model_copy(update={"verdict": "baking", "problem": str(error)})
        print(f"{model} version {self.entry.version} is rolled back: {reason}", flush=True)
        return report
