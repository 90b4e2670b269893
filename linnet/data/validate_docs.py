"""Runs Great Expectations suites and writes their Data Docs as a site that needs no network."""

from __future__ import annotations

import html
import os
import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.pages.document import document
from linnet.records import DatasetManifest

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

SHOWN = 20
"""Failing rows that are kept and shown an expectation, however many there are."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0;max-width:100%}
th,td{border:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}
.navbar img,#show-how-to-buttons-modal,.modal,.d-none{display:none}
.nav,.breadcrumb{list-style:none;padding:0}.breadcrumb li{display:inline;margin-right:1rem}
.fa-check-circle::before,.text-success::before{content:"passed ";color:#176b2c;font-style:normal}
.fa-times::before,.text-danger::before{content:"FAILED ";color:#b00020;font-weight:700;font-style:normal}
.fa-exclamation-triangle::before{content:"error "}
"""
_REMOTE = re.compile(
    r"<script[^>]*\bsrc=\"https?:[^>]*>\s*</script>|<link[^>]*\bhref=\"https?:[^>]*>|<img[^>]*\bsrc=\"https?:[^>]*>",
    re.DOTALL,
)
_NEWSLETTER = re.compile(r"<p>Stay current on everything GX.*?</p>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ValidationFinding:
    """One expectation's outcome. `rows`: the first rows that broke it, as {column: value}."""

    view: str
    name: str
    description: str
    passed: bool
    broken: int
    rows: tuple[dict[str, Any], ...]
    observed: Any
    error: str


class Suites:
    """An ephemeral Great Expectations context: it reads no project folder and reports to nobody."""

    def __init__(self, site: Path) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when a context is made
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._site = site
        self._context: EphemeralDataContext = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        for name, default in list((self._context.variables.data_docs_sites or {}).items()):
            self._context.delete_data_docs_site(name)
            shutil.rmtree(
                default["store_backend"]["base_directory"], ignore_errors=True
            )  # its own, in TMPDIR
        place = str(site).replace("$", r"\$")  # it would put an environment variable there
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": place}
        config: Any = {  # its TypedDict does not know show_how_to_buttons
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": backend,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        self._context.add_data_docs_site(site_name="linnet", site_config=config)
        self._source = self._context.data_sources.add_pandas("linnet")

    def check(
        self, view: str, frame: pd.DataFrame, expectations: Sequence[Expectation], keys: Sequence[str]
    ) -> list[ValidationFinding]:
        """Checks `expectations` on `frame`; `keys` are the columns that name a failing row."""
        import great_expectations as gx

        batch = self._source.add_dataframe_asset(view).add_batch_definition_whole_dataframe("all")
        suite = self._context.suites.add(gx.ExpectationSuite(view, expectations=list(expectations)))
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(name=view, data=batch, suite=suite)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas' and GX's own deprecations are not ours to fix
            result = definition.run(
                batch_parameters={"dataframe": frame},
                result_format={
                    "result_format": "SUMMARY",  # bounds every list in the result and in Data Docs
                    "partial_unexpected_count": SHOWN,
                    "unexpected_index_column_names": [key for key in keys if key in frame],
                },
            )
        findings = [_finding(view, item) for item in result.results]
        order = [expectation.meta["name"] for expectation in expectations if expectation.meta]
        return sorted(findings, key=lambda finding: order.index(finding.name))

    def write_docs(self, findings: Sequence[ValidationFinding], manifest: DatasetManifest) -> None:
        """Writes the site; its `index.html` shows `findings`, what was found among raw images, and links."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._context.build_data_docs()
        for page in self._site.rglob("*.html"):
            text = _NEWSLETTER.sub("", page.read_text("utf-8"))
            text = _REMOTE.sub("", text)
            page.write_text(text.replace("</head>", f"<style>{_STYLE}</style></head>", 1), "utf-8")
        for film in self._site.rglob("*.gif"):  # 3 MB of tutorials
            film.unlink()
        (self._site / "index.html").write_text(_index(self._site, findings, manifest), "utf-8")


def _index(site: Path, findings: Sequence[ValidationFinding], manifest: DatasetManifest) -> str:
    """The first page. Great Expectations' own one fills its list with scripts from a network."""
    pages = {path.relative_to(site).parts[1]: path for path in sorted(site.glob("validations/**/*.html"))}
    failed = sum(not finding.passed for finding in findings)
    verdict = f"{failed} of {len(findings)} expectations FAILED" if failed else "all expectations passed"
    rows = []
    for item in sorted(findings, key=lambda finding: finding.passed):
        link = pages[item.view].relative_to(site).as_posix()
        icon = "text-success" if item.passed else "text-danger"
        broken = "<br>".join(html.escape(", ".join(f"{k} {v}" for k, v in row.items())) for row in item.rows)
        more = item.broken - len(item.rows)
        broken += f"<br>and {more} more" if broken and more > 0 else ""
        observed = f"found {html.escape(str(item.observed))}" if not item.passed and item.observed else ""
        cells = (item.name, html.escape(item.description), broken or observed or html.escape(item.error))
        text = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><td class="{icon}"></td>{text}<td><a href="{link}">{item.view}</a></td></tr>')
    titles = ("Status", "Name", "Expectation", "Rows that broke it", "Details")
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = f"<h1>Validation of the dataset: {verdict}</h1><table><tr>{head}</tr>{''.join(rows)}</table>"
    body += _found(manifest)
    return document("Validation", _STYLE, body)


def _found(manifest: DatasetManifest) -> str:
    """What was found among the raw images, counted and by name, whatever the expectations say of it."""
    counts = "".join(
        f"<tr><td>{html.escape(what)}</td><td>{number:,}</td></tr>"
        for what, number in manifest.findings.items()
        if number
    )
    parts = [f"<h2>Found among the raw images</h2><table>{counts}</table>"] if counts else []
    told = [*([manifest.near_note] if manifest.near_note else []), *manifest.notes]
    parts += [f"<p>{html.escape(note)}</p>" for note in told]
    for title, total, lines in manifest.named_findings:
        cells = [map(html.escape, line.partition(": ")[::2]) for line in lines]
        rows = "".join(f"<tr><td>{file}</td><td>{why}</td></tr>" for file, why in cells)
        more = total - len(lines)
        rows += f"<tr><td>and {more:,} more</td><td></td></tr>" if lines and more > 0 else ""
        head = f"<h2>{title}: {total:,} of {manifest.raw_rows:,} images</h2>"
        parts += [f"{head}<table><tr><th>File</th><th>Reason</th></tr>{rows}</table>"] if lines else []
    return "".join(parts)


def _finding(view: str, item: Any) -> ValidationFinding:
    config, outcome = item.expectation_config, item.result or {}
    return ValidationFinding(
        view=view,
        name=config.meta["name"],
        description=config.description or "",
        passed=bool(item.success),
        broken=int(outcome.get("unexpected_count") or 0),
        # Without a column that names rows, GX gives their numbers.
        rows=tuple(
            row if isinstance(row, dict) else {"row": row}
            for row in (outcome.get("partial_unexpected_index_list") or ())[:SHOWN]
        ),
        observed=outcome.get("observed_value"),
        error=_problem(item.exception_info),
    )


def _problem(info: dict[str, Any]) -> str:
    """What stopped the check itself, if anything did; GX nests it a metric."""
    if info.get("raised_exception"):
        return str(info.get("exception_message"))
    nested = [part for part in info.values() if isinstance(part, dict) and part.get("raised_exception")]
    return str(nested[0].get("exception_message")) if nested else ""
