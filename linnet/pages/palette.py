"""The colors of every page, console and report alike, in light and dark."""

from __future__ import annotations

LIGHT = """--paper:#f7f6f3;--card:#fff;--raised:#fff;--ink:#1b1f24;--soft:#59626c;--line:#e4e2dc;
--hover:#f1efea;--accent:#1f5fae;--accentsoft:#e5eefa;--on:#fff;--good:#17704a;--goodsoft:#e1f2e9;
--bad:#ad2f27;--badsoft:#fbe8e5;
--warn:#8a5a00;--warnsoft:#fbf0d9;--unknown:#5d4a94;--unknownsoft:#edeaf7;--warm:#c2571a;
--shadow:0 1px 2px #1b1f2412,0 4px 16px #1b1f240a"""
DARK = """--paper:#121518;--card:#1a1e22;--raised:#20252a;--ink:#e9e7e2;--soft:#a4adb6;--line:#2c3238;
--hover:#22272c;--accent:#82b4f0;--accentsoft:#1b2b3f;--on:#0f1418;--good:#63cb9b;--goodsoft:#16302a;
--bad:#f28d83;--badsoft:#3d211f;--warn:#e6b65c;--warnsoft:#352a14;--unknown:#bcabef;--unknownsoft:#2b2540;
--warm:#eb9257;--shadow:0 1px 2px #0006"""
ROOT = f":root{{color-scheme:light dark;{LIGHT}}}\n@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}\n"
"""What a page that stands alone begins its style with: it follows the reader's system."""
