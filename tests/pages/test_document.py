from __future__ import annotations

from linnet.pages.document import document


def test_document_escapes_its_title_and_fits_a_phone() -> None:
    page = document("a < b", "p{color:red}", "<p>body</p>")
    assert page.startswith("<!doctype html>")
    assert "<title>a &lt; b</title>" in page
    assert '<meta name="viewport"' in page
    assert "<body><p>body</p></body>" in page
