"""Aliases moved by compare-and-swap, each move in the ledger: the one way to change what is served.

A move is: intent on disk, traffic, alias, ledger line, intent gone; all under a file lock. It happens
wholly or not at all: if a part fails, those before it are taken back, and the intent stays if that fails
too. Whoever takes the lock next finishes or forgets what a kill or such a failure left between, and the
alias decides which: a moved alias gets its line and its traffic, else traffic goes back to whom the alias
names. The lock is of this machine; several machines with one registry are guarded by the comparison just
before the move alone, since MLflow offers no compare-and-swap.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from linnet.errors import LinnetError, PromotionConflict, RegistryError, StorageError
from linnet.records import LedgerEntry, ModelVersion, RolloutDecision, now
from linnet.registry import promotion
from linnet.registry.ledger import ledger_of, registry_lock
from linnet.registry.protocol import Alias, ChampionTraffic, Registry, Submission
from linnet.storage.files import file_name, listed
from linnet.storage.paths import state_dir

Action = Literal["register", "challenge", "canary", "promote", "rollback", "allow"]
INTENT = ".intent.json"
_ALIAS: dict[str, Alias] = {"challenge": "challenger", "promote": "champion", "rollback": "champion"}


def current_actor() -> str:
    """Who acts: user@host of this process, or the person behind a GitHub workflow."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class ModelRegistry:
    """A registry with its ledger, for all models of one state folder."""

    def __init__(
        self,
        store: Registry,
        actor: str = "",
        state: Path | None = None,
        traffic: ChampionTraffic | None = None,
    ) -> None:
        """`actor`: who the ledger names, such as user@host; `state`: empty for `state_dir()`.

        `traffic`: follows the champion; None: nobody's, as where a rollout directs it.
        """
        self.store, self.actor, self._traffic = store, actor or current_actor(), traffic
        self._state = state or state_dir()
        self.ledger = ledger_of(self._state)

    def register(self, submission: Submission, reason: str = "packaged") -> ModelVersion:
        """Registers a package; the same package again gives the same version and no second line.

        Raises:
            RegistryError: another model's name differs in signs alone that no file is named by.
        """
        with self._locked(submission.model):
            for other in self.store.models():  # or both would have one ledger, history and rollout
                if other != submission.model and file_name(other) == file_name(submission.model):
                    raise RegistryError(
                        f"model {submission.model}: its files would be those of model {other}: "
                        "give it another name (registry.model)"
                    )
            version = self.store.register(submission)
            known = any(
                entry.action == "register" and entry.version == version.version
                for entry in self.ledger.entries(submission.model)
            )
            if not known:
                self.ledger.append(self._entry("register", submission.model, version.version, None, reason))
            return version

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of a model, the newest first."""
        return self.store.versions(model)

    def version(self, model: str, version: str) -> ModelVersion:
        """One version.

        Raises:
            RegistryError: there is no such version.
        """
        for found in self.store.versions(model):
            if found.version == version:
                return found
        raise RegistryError(f"model {model} has no version {version}: see `linnet models list`")

    def champion(self, model: str) -> ModelVersion | None:
        """The version that is served, if there is one."""
        version = self.store.alias(model, "champion")
        return None if version is None else self.version(model, version)

    def package_folder(self, version: ModelVersion) -> Path:
        """Local folder of the version's package; to be read only."""
        return self.store.package_folder(version.name, version.version)

    def set_challenger(self, model: str, version: str, reason: str = "gates passed") -> None:
        """Points `challenger` to a version; again is without effect."""
        with self._locked(model):
            self.version(model, version)
            previous = self.store.alias(model, "challenger")
            if previous != version:
                self._move(self._entry("challenge", model, version, previous, reason))

    def promote(
        self,
        model: str,
        version: str,
        expected_champion: str | None,
        rollout: RolloutDecision | None = None,
        override: str = "",
        give: Callable[[], None] | None = None,
    ) -> ModelVersion:
        """Makes `version` champion if the champion still is `expected_champion` (None: there is none).

        `rollout`: the canary's decision; `override`: a person's reason to do without its word; `give`:
        gives it the traffic, where a rollout directs that (it may raise LinnetError). A version that is
        champion already stays so, and the ledger gets no second line.

        Raises:
            PromotionConflict: somebody else moved the alias first.
            RegistryError: no such version, or its evidence does not allow it.
        """
        with self._locked(model):
            blocked = self.blocked(model, version)
            reason = promotion.check(self.version(model, version), rollout, override, blocked)
            found = self.store.alias(model, "champion")
            if found == version:
                return self.version(model, version)
            if found != expected_champion:
                raise PromotionConflict("champion", expected_champion, found)
            evidence: dict[str, Any] = {}
            if rollout is not None:
                evidence = {"verdict": rollout.verdict, "started_at": rollout.started_at.isoformat()}
            self._move(self._entry("promote", model, version, found, reason, evidence), give)
            return self.version(model, version)

    def record_canary(self, model: str, decision: RolloutDecision) -> None:
        """Writes down every decision of a rollout with its evidence; the same rollout again adds nothing."""
        with self._locked(model):
            started = decision.started_at.isoformat()
            known = [
                entry.evidence
                for entry in self.ledger.entries(model)
                if entry.action == "canary" and entry.evidence.get("rollout") == started
            ]
            for reason, evidence in promotion.canary_lines(decision):
                if {"rollout": started, **evidence} not in known:
                    line = {"rollout": started, **evidence}
                    self.ledger.append(
                        self._entry("canary", model, decision.version, decision.champion, reason, line)
                    )

    def earlier_champion(self, model: str) -> ModelVersion:
        """The champion before the present one, as the ledger knows it.

        Raises:
            RegistryError: there is none.
        """
        found, line = self.store.alias(model, "champion"), promotion.champions(self.ledger.entries(model))
        if found is None or len(line) < 2 or line[-1] != found:
            raise RegistryError(
                f"model {model} has no earlier champion in the ledger: choose a version with "
                "`linnet models list` and promote it with a reason"
            )
        return self.version(model, line[-2])

    def rollback(
        self, model: str, reason: str, expected: str = "", evidence: dict[str, Any] | None = None
    ) -> ModelVersion:
        """Makes the champion before the present one champion again, as the ledger knows it.

        `expected`: only if this version is the champion; `evidence`: for the ledger.

        Raises:
            RegistryError: no reason is given, or there is no earlier champion.
            PromotionConflict: another version is champion.
        """
        if not reason.strip():
            raise RegistryError("a rollback needs a reason, for the ledger: give one with --reason")
        with self._locked(model):
            found = self.store.alias(model, "champion")
            if expected and found != expected:
                raise PromotionConflict("champion", expected, found)
            earlier = self.earlier_champion(model)
            self._move(self._entry("rollback", model, earlier.version, found, reason.strip(), evidence))
            return self.version(model, earlier.version)

    def blocked(self, model: str, version: str) -> str:
        """Why a version may not be released by itself: it, or the same model, was rolled back; empty: it may.

        Raises:
            RegistryError: there is no such version.
        """
        versions = self.store.versions(model)
        self.version(model, version)
        return promotion.rolled_back(self.ledger.entries(model), versions, version)

    def allow(self, model: str, version: str, reason: str) -> None:
        """Lets a version that was rolled back, and the same model under other numbers, be released again.

        Raises:
            RegistryError: no reason is given, or nothing keeps it from being released.
        """
        if not reason.strip():
            raise RegistryError("allowing it again needs a reason, for the ledger: give one with --reason")
        with self._locked(model):
            if not self.blocked(model, version):
                raise RegistryError(f"{model} version {version} was not rolled back: it needs no permission")
            self.ledger.append(self._entry("allow", model, version, None, reason.strip()))

    def repair(self, model: str) -> None:
        """Finishes or forgets a move that was cut short; any command that changes something does it too.

        Raises:
            LinnetError: the traffic cannot follow the alias now; the next repair tries again.
        """
        with registry_lock(self._state):
            self._repair(model, strict=True)

    def _entry(
        self,
        action: Action,
        model: str,
        version: str,
        previous: str | None,
        reason: str,
        evidence: dict[str, Any] | None = None,
    ) -> LedgerEntry:
        return LedgerEntry(
            at=now(), actor=self.actor, action=action, model=model, version=version,
            previous=previous, reason=reason, evidence=evidence or {},
        )  # fmt: skip

    def _move(self, entry: LedgerEntry, give: Callable[[], None] | None = None) -> None:
        intent, alias = self._intent(entry.model, _ALIAS[entry.action]), _ALIAS[entry.action]
        entry.save(intent)
        try:
            if give is not None:
                give()
            else:
                self._serve(entry, entry.version)
            self.store.set_alias(entry.model, alias, entry.version)
            self.ledger.append(entry)
        except LinnetError as error:
            try:
                self._take_back(entry)
            except LinnetError as second:  # the intent stays, so that the next repair settles it
                raise RegistryError(
                    f"{error}; and what was changed before could not be taken back: {second}; "
                    "the engine, or the next command that changes the model, settles it"
                ) from error
            intent.unlink()
            raise
        self._end_challenge(entry)
        intent.unlink()

    def _take_back(self, entry: LedgerEntry) -> None:
        """As it was before a move that failed; an alias that stays keeps its traffic.

        Raises:
            LinnetError: the alias, or then the traffic, cannot be put back.
        """
        if self.store.alias(entry.model, _ALIAS[entry.action]) == entry.version:
            self.store.set_alias(entry.model, _ALIAS[entry.action], entry.previous)
        self._serve(entry, entry.previous)

    def _repair(self, model: str, *, strict: bool) -> None:
        """`strict`: raises if the traffic cannot follow; else a move that comes next is not kept away."""
        kinds: tuple[Alias, ...] = ("champion", "challenger")
        for kept in kinds:
            intent = self._intent(model, kept)
            if not intent.exists():
                continue
            entry = LedgerEntry.load(intent)
            alias = _ALIAS[entry.action]
            pointed = self.store.alias(model, alias)
            if pointed == entry.version:
                if entry not in self.ledger.entries(model):
                    self.ledger.append(entry)
                self._end_challenge(entry)
            if alias == "champion" and self._traffic is None:
                continue  # whoever comes next and can tell the server does
            try:
                self._serve(entry, pointed)
            except LinnetError:
                if strict:
                    raise
                continue  # the intent stays
            intent.unlink()

    def _end_challenge(self, entry: LedgerEntry) -> None:
        """A champion is no challenger any more."""
        if entry.action == "promote" and self.store.alias(entry.model, "challenger") == entry.version:
            self.store.set_alias(entry.model, "challenger", None)

    def _serve(self, entry: LedgerEntry, version: str | None) -> None:
        """Gives the model's traffic to a version, if the entry is about who is served."""
        if self._traffic is None or version is None or _ALIAS[entry.action] != "champion":
            return
        self._traffic.give(entry.model, version, self.store.package_folder(entry.model, version))

    def _intent(self, model: str, alias: Alias) -> Path:
        kind = "" if alias == "champion" else f".{alias}"
        return self._state / "registry" / f"{file_name(model)}{kind}{INTENT}"

    @contextlib.contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        """One process and thread at a time. The ledger is shared by all models, and so is the lock."""
        with registry_lock(self._state):
            self._repair(model, strict=False)
            yield


def interrupted_moves(state: Path, told: Callable[[str], None] | None = None) -> list[LedgerEntry]:
    """Moves in a state folder that are under way, or were cut short: `repair` settles these.

    `told` is given why another one cannot be read; such a one hides none of the others.

    Raises:
        StorageError: they cannot be listed, and there is no `told`.
    """
    moves: list[LedgerEntry] = []
    try:
        files = listed(state / "registry", f"*{INTENT}")
    except StorageError as error:
        if told is None:
            raise
        told(str(error))
        return moves
    for file in files:
        try:
            moves.append(LedgerEntry.load(file))
        except LinnetError as error:
            if told and file.exists():  # else it was settled meanwhile
                told(str(error))
    return moves
