"""`linnet report`: what a run found, for a pull request or a person."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from linnet.errors import RunError
from linnet.run import runs

RunId = Annotated[str, typer.Argument(help="A run's id or its beginning; empty: the newest run.")]
REFUSED = 3


def report(
    run_id: RunId = "",
    form: Annotated[
        Literal["markdown", "html"], typer.Option("--format", help="Markdown for GitHub, or a page.")
    ] = "markdown",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address of the Kubeflow Pipelines API that ran it; empty: this machine.")
    ] = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 3 if a gate or the canary said no.")
    ] = False,
) -> None:
    """Report a run: metrics against the champion, gates, canary, training curves.

    Examples:

      linnet report >> "$GITHUB_STEP_SUMMARY"

      linnet report fashion-20261124 --format html -o report.html

      linnet report fashion-20261124-101500-ab12 --host http://kfp.example.org --exit-code
    """
    from linnet.launch.client import Host
    from linnet.report import render
    from linnet.report.evidence import champion_metrics, read_evidence
    from linnet.report.remote import fetch_evidence

    if host and not run_id:
        raise RunError("a report of another host needs the run's id, as `linnet submit` printed it")
    with tempfile.TemporaryDirectory() as scratch:
        folder = fetch_evidence(Host(host.rstrip("/")), run_id, Path(scratch)) if host else runs.find(run_id)
        evidence = read_evidence(folder)
        write = render.html if form == "html" else render.markdown
        text = write(evidence, champion_metrics(evidence))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
    if exit_code and evidence.record.state != "succeeded":
        raise typer.Exit(REFUSED if evidence.record.state == "rejected" else 1)
