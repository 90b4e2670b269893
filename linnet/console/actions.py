"""What an operator can do through the console. Each act is checked for the role, done, and audited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from linnet.config import EngineConfig, RegistryConfig, parse_config
from linnet.console.audit import AuditLog
from linnet.console.configs import bases, refuse_foreign_places
from linnet.console.sessions import Role
from linnet.console.sources import Sources
from linnet.deployment.journal import Command
from linnet.deployment.rollout_commands import end_under_way, journal_of, order
from linnet.errors import LinnetError
from linnet.launch.client import Host, host_of, silence_sdk, translate_api_errors
from linnet.records import RunRequest
from linnet.registry.champion import current_actor
from linnet.registry.connect import connect
from linnet.run import runs
from linnet.run.remarks import write_remarks
from linnet.serving.champion_traffic import ServerTraffic

T = TypeVar("T")


class NotAllowed(LinnetError):
    """A viewer tried to change something."""

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(f"viewers cannot {action}: log in with the operator's token")


class Operator:
    """Acts for one logged-in person."""

    def __init__(self, sources: Sources, audit: AuditLog, role: Role) -> None:
        self._sources, self._audit, self.role = sources, audit, role
        self.actor = f"{current_actor()} (console)"

    @property
    def may_act(self) -> bool:
        """Whether the person may change anything."""
        return self.role == "operator"

    def promote(self, model: str, version: str, reason: str) -> None:
        """Makes a version the champion by a person's word, and serves it.

        Raises:
            PromotionConflict, RegistryError: it may not be.
        """

        def work() -> None:
            registry = connect(RegistryConfig(), self.actor, ServerTraffic())
            champion = registry.champion(model)
            end_under_way(model, self.actor, reason)
            registry.promote(model, version, champion.version if champion else None, override=reason)

        self._do("promote", f"{model} {version}", reason, work)

    def rollback(self, model: str, reason: str) -> str:
        """Gives alias and traffic back to the champion before this one; returns its version.

        Raises:
            RegistryError: there is none.
        """

        def work() -> str:
            registry = connect(RegistryConfig(), self.actor, ServerTraffic())
            registry.earlier_champion(model)  # says that there is none before anything is ended
            end_under_way(model, self.actor, reason)
            return registry.rollback(model, reason).version

        return self._do("roll back", model, reason, work)

    def send_rollout_command(self, model: str, command: Command, reason: str) -> str:
        """Tells the rollout under way to go on, wait or end; returns what that comes to.

        Raises:
            RolloutError: none is under way, or it waits for no approval.
        """
        return self._do(
            f"{command} a rollout",
            model,
            reason,
            lambda: order(journal_of(model), command, self.actor, reason),
        )

    def start_run(self, values: dict[str, Any], reason: str, base: str = "") -> str:
        """Starts the training pipeline with a config; returns the run's id. `base`: what it began with.

        Raises:
            ConfigError: a setting is wrong, or reaches where no config here does.
        """

        def work() -> str:
            from linnet.automation.submission import submit_pipeline

            config = parse_config(values)
            refuse_foreign_places(config, bases(self._sources.runs(), base).values())
            request = RunRequest(cause="person", actor=self.actor, reason=reason, commit=runs.commit())
            return submit_pipeline("training", config, request, self._host(config.engine)).run_id

        return self._do("start a run", str(values.get("name", "")), reason, work)

    def remark(self, run_id: str, tags: str, note: str) -> str:
        """Says something of a run, in place of what was said before; returns its id.

        Raises:
            RunError: there is no such run, or a tag is no word.
        """

        def work() -> str:
            write_remarks(runs.find(run_id), tags, note)
            return run_id

        return self._do("remark", run_id, f"{tags} | {note}"[:500], work)

    def terminate(self, run_id: str, reason: str) -> str:
        """Ends a run that is under way; returns its id.

        Raises:
            RunError: the host refused.
        """
        return self._do("terminate", run_id, reason, lambda: self._call(run_id, "terminate_run"))

    def retry(self, run_id: str, reason: str) -> str:
        """Lets a run that ended go on from the steps that did not; returns its id.

        Raises:
            RunError: the host refused.
        """
        return self._do("retry", run_id, reason, lambda: self._call(run_id, "retry_run"))

    def _call(self, run_id: str, what: str) -> str:
        host = self._host(EngineConfig())
        client = host.client()
        with silence_sdk(), translate_api_errors(host.url):
            getattr(client._run_api, f"run_service_{what}")(run_id)  # the SDK's client has no retry
        return run_id

    def _host(self, config: EngineConfig) -> Host:
        """The host of the console, of the config, or this machine's engine, which is started if need be."""
        return host_of(config, self._sources.host)

    def _do(self, action: str, subject: str, reason: str, work: Callable[[], T]) -> T:
        said: dict[str, Any] = {"reason": reason}
        if not self.may_act:
            self._audit.write(self.actor, self.role, action, subject, outcome="refused", **said)
            raise NotAllowed(action)
        try:
            result = work()
        except Exception as error:
            said["detail"] = str(error)[:500]
            self._audit.write(self.actor, self.role, action, subject, outcome="failed", **said)
            raise
        finally:
            self._sources.kept.forget()
        if isinstance(result, str):
            said["detail"] = result
        self._audit.write(self.actor, self.role, action, subject, outcome="done", **said)
        return result
