"""The frame of every page that Linnet writes: one file, no script, no network, readable on a phone."""

from __future__ import annotations

from html import escape


def document(title: str, style: str, body: str) -> str:
    """A whole HTML page of `body` (markup, escaped by its maker) under a plain-text `title`."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>{body}</body></html>\n"
    )
