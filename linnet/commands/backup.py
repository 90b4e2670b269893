"""`linnet backup` and `linnet restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal

from linnet.commands.terminal import bars_on, terminal
from linnet.errors import LinnetError, StorageError
from linnet.storage import backup as backups
from linnet.storage.archive import BytesDone
from linnet.storage.files import listed
from linnet.storage.paths import state_dir

_LEDGERS = "ledger"


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write: .tar, or .tar.gz to pack it.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Take API keys, tokens and sessions along.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check everything and show what would be in it.")
    ] = False,
) -> None:
    """Back up the state folder into one file: models, registry, ledger, labels, runs, logs.

    Engine, server and console may run meanwhile: databases are copied as they are at one moment, together
    with the ledger. Every database and ledger is checked first; a damaged one is named, and nothing is
    written. The cache and environments stay, as they are made again; so do your images, which lie outside.

    Examples:

      linnet backup /mnt/disk/linnet-2026-11-27.tar

      linnet backup linnet.tar.gz --with-keys

      linnet backup linnet.tar --dry-run
    """
    home, console = state_dir(), terminal()
    if not home.is_dir():
        raise StorageError(f"{home}: there is no state folder to back up; LINNET_HOME names another one")
    file = file.resolve()
    if file.is_relative_to(home):
        raise StorageError(f"{file} lies in the state folder: write the backup somewhere else")
    if file.exists() and not force and not dry_run:
        raise StorageError(f"{file} exists already: choose another name, or give --force")
    plan = backups.plan_backup(home, with_keys)
    _check(home, backups.check(plan))
    notes = _notes()
    _show_plan(console, plan, notes)
    if dry_run:
        return
    from linnet.registry.ledger import registry_lock

    file.parent.mkdir(parents=True, exist_ok=True)
    with _bar(console, "backing up", plan.size) as progress:
        made = backups.back_up(plan, file, progress, with_keys, notes, registry_lock(home))
    size = decimal(file.stat().st_size)
    console.print(
        f"wrote {file}: {len(made.files):,} files, {size}; bring it back with\n  linnet restore {file}",
        soft_wrap=True,
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `linnet backup` wrote.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Move what is in the state folder aside, and restore in its place."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the backup, and restore nothing.")
    ] = False,
) -> None:
    """Bring a backup back into the state folder (LINNET_HOME), which must be empty.

    All of it is unpacked beside, and every byte compared with the backup's own list, before anything is
    moved. Where the folder has another name than the one that was backed up, addresses within are changed.

    Examples:

      LINNET_HOME=/srv/linnet linnet restore /mnt/disk/linnet-2026-11-27.tar

      linnet restore linnet.tar.gz --force
    """
    from linnet.process.state import running_servers

    home, console = state_dir(), terminal()
    if servers := running_servers(home):
        raise StorageError(f"{home}: {', '.join(servers)} runs on it: stop it with `linnet down` first")
    total = file.stat().st_size if file.is_file() else 0
    with _bar(console, "restoring", total) as progress:
        if dry_run:
            made = backups.verify(file, progress, _check_ledgers)
            aside = None
        else:
            made, aside = backups.restore(file, home, progress, _check_ledgers, force)
    what = f"{len(made.files):,} files of {made.home}, backed up {made.made_at} by Linnet {made.linnet}"
    if dry_run:
        console.print(f"{file} is whole: {what}", soft_wrap=True)
        return
    for note in made.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if not made.with_keys:
        console.print("note: keys and tokens were not backed up: new ones are made", soft_wrap=True)
    if aside is not None:
        console.print(f"what was there lies in {aside}", soft_wrap=True)
    console.print(f"restored to {home}: {what}", soft_wrap=True)


def _check(home: Path, problems: list[str]) -> None:
    """Raises StorageError with all that is damaged."""
    try:
        _check_ledgers(home)
    except LinnetError as error:
        problems.append(str(error))
    if problems:
        raise StorageError("nothing was written, as something is damaged:\n  " + "\n  ".join(problems))


def _check_ledgers(home: Path) -> None:
    """Verifies the chain of every ledger below a folder.

    Raises:
        LinnetError: a line was changed.
    """
    from linnet.records.ledger import verify_chain

    heads = (head.with_suffix(".jsonl") for head in listed(home / _LEDGERS, "*.head"))
    for path in sorted({*heads, *listed(home / _LEDGERS, "*.jsonl")}):
        verify_chain(path)


def _notes() -> list[str]:
    """What whoever restores it should know."""
    from linnet.run import runs

    busy = [folder.name for folder in runs.alive_folders()]
    if not busy:
        return []
    more = f" and {len(busy) - 5} more" if busy[5:] else ""
    named = f"{', '.join(busy[:5])}{more}"
    return [f"under way: {named}; restored, each is an interrupted run (`linnet runs resume`)"]


def _show_plan(console: Console, plan: backups.Plan, notes: list[str]) -> None:
    for name, count, size in backups.parts(plan):
        console.print(f"{name:<15} {count:>8,} files {decimal(size):>10}", soft_wrap=True)
    for why, size in sorted(plan.left_out.items()):
        console.print(f"left out: {why}, {decimal(size)}", soft_wrap=True)
    if out := plan.links_out:
        names = ", ".join(str(path.relative_to(plan.home)) for path in out[:5]) + (", ..." if out[5:] else "")
        console.print(
            f"left out: {len(out)} link(s) to other places ({names}), and what they lead to", soft_wrap=True
        )
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True)


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[BytesDone]:
    with bars_on(console) as bars:
        task = bars.add_task(what, total=total)
        yield lambda count: bars.advance(task, count)
