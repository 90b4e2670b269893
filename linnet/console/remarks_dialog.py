"""The dialog in which tags and a note are given to a run."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import run, ui

from linnet.console.markup import problem, tag
from linnet.console.shell import Button, html, labelled
from linnet.errors import LinnetError
from linnet.run.remarks import RunRemarks


def remarks_dialog(said: RunRemarks, save: Callable[[str, str], str], target: str) -> Callable[[], None]:
    """Returns what opens it. `save` gets tags and note, and works in a thread; `target` is shown afterwards."""
    title = "Tags and note"
    with labelled(ui.dialog(), title) as dialog, ui.card().classes("dialog"):
        html(
            tag("div", tag("h2", title), tag("p", "Everybody sees them, and the audit log keeps who wrote."))
        )
        tags = ui.input("Tags, between commas", value=", ".join(said.tags))
        note = ui.textarea("Note", value=said.note)
        for element in (tags, note):
            element.props("outlined dense").style("width:100%;margin-bottom:14px")
        told = html("")

        async def go() -> None:
            try:
                await run.io_bound(save, tags.value or "", note.value or "")
            except LinnetError as error:
                told.set_content(problem(str(error)))
                return
            dialog.close()
            ui.navigate.to(target)

        with ui.element("div").classes("actions"):
            Button("Save", go, "primary")
            Button("Cancel", dialog.close)

    def ask() -> None:
        dialog.open()

    return ask
