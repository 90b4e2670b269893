"""`linnet cache ...`: what is kept, why a step ran or did not, and how to shrink it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from linnet.cache.key import differences, key_of
from linnet.cache.store import open_cache
from linnet.cache.sweep import CacheEntry, cached_entries, damaged, plan, sweep
from linnet.commands.terminal import terminal
from linnet.errors import RegistryError, RunError, StorageError
from linnet.records import StageRecord
from linnet.run import runs
from linnet.runner.sweep import remove, shared_folders, to_drop
from linnet.storage.files import listed

app = typer.Typer(help="Look at the content cache, check it, and shrink it.", no_args_is_help=True)


@app.command("list")
@app.command("ls", hidden=True)  # the name before
def list_command(
    task: Annotated[str, typer.Option(help="Only the entries of this step.")] = "",
) -> None:
    """List what the cache keeps, the last used first.

    Example:

      linnet cache list --task train
    """
    entries = cached_entries(open_cache())
    table = _table(held for held in reversed(entries) if task in ("", held.task))
    contents = {digest: size for held in entries for digest, size in held.blobs.items()}
    console = terminal()
    console.print(table)
    console.print(f"{len(entries)} entries, {_megabytes(sum(contents.values()))} (equal files counted once)")


@app.command("explain")
def explain(
    run_id: Annotated[str, typer.Argument(help="A run's id or its beginning; '' for the newest run.")],
    task: Annotated[str, typer.Argument(help="A step, such as train.")],
    against: Annotated[str, typer.Option(help="The run to compare with; empty: the one before it.")] = "",
) -> None:
    """Say why a step of a run worked or came from the cache: which part of its key changed since when.

    Examples:

      linnet cache explain '' train

      linnet cache explain fashion-20261124-101500-ab12 evaluate --against fashion-20261123
    """
    folder, name = runs.find(run_id), task.replace("-", "_")
    told = _key_of(folder, name)
    if told is None:
        known = [file.stem for file in listed(folder / runs.KEYS, "*.json")]
        raise RunError(
            f"run {folder.name} has no step {task!r} with a key: it has {', '.join(known) or 'none'}"
        )
    stage = StageRecord.load(folder / "stages" / f"{name}.json")
    console = terminal(soft_wrap=True)
    console.print(f"{name} of run {folder.name}, key {stage.key[:12]}")
    entry = open_cache().load(open_cache().entry_file(name, stage.key))
    made = f"worked out by run {entry.result.run}" if entry and entry.result.run else "no longer in the cache"
    console.print(
        f"came from the cache ({made}), saved {stage.saved_seconds:.1f} s" if stage.cached else "worked",
        highlight=False,
    )
    earlier = _earlier(folder, name, against)
    if earlier is None:
        console.print("no other run of this step is known here")
        return
    before = _key_of(earlier, name)
    assert before is not None
    changed = differences(key_of(told["key"]), before["key"])
    console.print(f"compared with run {earlier.name}: {'what changed is' if changed else 'nothing changed'}")
    for part in changed:
        console.print(f"  {part}{_detail(part, before, told)}")


@app.command("verify")
def verify() -> None:
    """Read every stored byte again, and drop what is not as it was stored (a disk may fail silently).

    Example:

      linnet cache verify
    """
    cache = open_cache()
    bad = damaged(cache)
    for held in bad:
        held.file.unlink(missing_ok=True)
        typer.echo(f"damaged, dropped: {held.task} {held.digest[:12]}")
    typer.echo(f"{len(cache.entry_files())} entries are whole, {len(bad)} were not")


@app.command("gc")
def gc(
    days: Annotated[float, typer.Option(min=0, help="Drop entries not used for longer than this.")] = 30.0,
    max_gb: Annotated[
        float, typer.Option(min=0, help="Then drop the least recently used until this many GB are left.")
    ] = math.inf,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted.")] = False,
) -> None:
    """Drop what was not used for long; never what a run under way or a registered model needs.

    Environments of packages_to_install and what importers fetched go by the same limits, counted for
    themselves. Runs keep the files that they link to, so that their space is only free once they are gone
    too.

    Examples:

      linnet cache gc --days 7 --dry-run

      linnet cache gc --max-gb 20
    """
    cache, console = open_cache(), terminal()
    entries = cached_entries(cache)
    planned = plan(entries, _needed(entries), days * 86400, max_gb * 1e9)
    if not dry_run:
        sweep(cache, planned)
    if planned.drop:
        console.print(_table(planned.drop))
    for held, reason in planned.protected:
        console.print(f"kept {held.task} {held.digest[:12]}: {reason}")
    verb = "would drop" if dry_run else "dropped"
    console.print(
        f"{verb} {len(planned.drop)} entries, {_megabytes(planned.freed)}; {_megabytes(planned.kept)} stay"
    )
    _drop_shared(days * 86400, max_gb * 1e9, dry_run, console)


def _drop_shared(max_unused_seconds: float, max_bytes: float, dry_run: bool, console: Console) -> None:
    """Drops environments and imports, and says which."""
    folders = shared_folders(bool(runs.alive_folders()))
    planned = to_drop(folders, max_unused_seconds, max_bytes)
    verb = "would drop" if dry_run else "dropped"
    for folder in planned if dry_run else [each for each in planned if remove(each)]:
        unused = f"unused for {folder.unused_seconds / 3600:.1f} h"
        console.print(f"{verb} {folder.name}: {_megabytes(folder.size)}, {unused}", highlight=False)
    for folder in folders:
        if folder.used_by:
            console.print(f"kept {folder.name}: {folder.used_by}")


def _needed(entries: Iterable[CacheEntry]) -> dict[str, str]:
    """Entries that must stay, by digest: of runs under way, and of runs that made a registered model.

    A stage whose record cannot be read may need any entry of its task, and so all of these stay.
    """
    of_task: dict[str, list[str]] = defaultdict(list)
    for held in entries:
        of_task[held.task].append(held.digest)
    reasons: dict[str, str] = {}
    made = _registered()
    for folder in runs.folders():
        why = f"registered as {made[folder.name]}" if folder.name in made else _may_go_on(folder)
        for file in runs.stage_files(folder) if why else ():
            try:
                key = StageRecord.load(file).key
            except StorageError:
                unread = f"{why}, and its record of {file.stem} cannot be read: {file}"
                reasons |= {digest: unread for digest in of_task[file.stem] if digest not in reasons}
            else:
                reasons |= {key: why} if key else {}
    return reasons


def _may_go_on(folder: Path) -> str:
    """Why a run may need what it made; empty: it ended. One that cannot be read may be under way."""
    try:
        under_way = runs.recorded(folder).state == "running" and runs.alive(folder)
    except StorageError:
        return f"run {folder.name} cannot be read"
    return f"run {folder.name} is under way" if under_way else ""


def _registered() -> dict[str, str]:
    """Run to model version, for every version in the local registry.

    Raises:
        RegistryError: it cannot be read; without it nobody knows what may go.
    """
    from linnet.config import RegistryConfig
    from linnet.registry.connect import connect

    registry = connect(RegistryConfig())
    try:
        versions = [version for model in registry.store.models() for version in registry.versions(model)]
    except RegistryError as error:
        raise RegistryError(f"{error}; nothing was dropped, since it may be needed there") from error
    return {v.tags["run"]: f"{v.name} version {v.version}" for v in versions if v.tags.get("run")}


def _key_of(folder: Path, task: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / runs.KEYS / f"{task}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _earlier(folder: Path, task: str, against: str) -> Path | None:
    if against:
        other = runs.find(against)
        if _key_of(other, task) is None:
            raise RunError(f"run {other.name} has no step {task!r} with a key to compare with")
        return other
    this = runs.load(folder)
    others = (other for other in runs.folders() if _key_of(other, task))
    older = [
        (record.started_at, other)
        for other, record in runs.readable(runs.recorded, others)
        if record.started_at < this.started_at and record.config.get("name") == this.config.get("name")
    ]
    return max(older)[1] if older else None


def _detail(part: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """What a part was and is now: settings by name, contents by the beginning of their digests."""
    kind, _, name = part.partition(" ")
    if kind == "parameter":
        old, new = (_flat(told["parameters"].get(name)) for told in (before, after))
        changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        return "".join(f"\n    {name}{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in changed)
    if kind == "input":
        old, new = (told["key"]["inputs"].get(name, "none")[:12] for told in (before, after))
        return f": {old} -> {new}"
    return {
        "code": ": the component's own text",
        "library": ": the sources of linnet",
        "environment": ": Python, the machine type, a package, or a variable that the task declares",
    }[kind]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: item for name, inner in value.items() for key, item in _flat(inner, f"{prefix}.{name}").items()
    }


def _table(entries: Any) -> Table:
    table = Table("entry", "step", "MB", "took seconds", "unused for")
    held: CacheEntry
    for held in entries:
        unused = "damaged" if math.isinf(held.unused_seconds) else f"{held.unused_seconds / 3600:.1f} h"
        table.add_row(held.digest[:12], held.task, f"{held.size / 1e6:.1f}", f"{held.seconds:.1f}", unused)
    return table


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
