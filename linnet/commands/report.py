"""`linnet report`: what a run found, for a pull request or a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from linnet import runs

RunId = Annotated[str, typer.Argument(help="A run's id or its beginning; empty: the newest run.")]


def report(
    run_id: RunId = "",
    form: Annotated[
        Literal["markdown", "html"], typer.Option("--format", help="Markdown for GitHub, or a page.")
    ] = "markdown",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")
    ] = None,
) -> None:
    """Report a run: metrics against the champion, gates, canary, training curves.

    Examples:

      linnet report >> "$GITHUB_STEP_SUMMARY"

      linnet report fashion-20261124 --format html -o report.html
    """
    from linnet.engine import run_report
    from linnet.engine.run_evidence import champion_metrics, read_evidence

    evidence = read_evidence(runs.find(run_id))
    write = run_report.html if form == "html" else run_report.markdown
    text = write(evidence, champion_metrics(evidence))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
