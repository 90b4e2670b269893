"""Numbers as people read them, alike on every page: a true minus sign, a dash for what is not known."""

from __future__ import annotations

from math import isfinite


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None or not isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * value:.{digits}f} %" if value is not None and isfinite(value) else "–"


def number(value: float | None) -> str:
    """Four digits, or a dash for what is not known."""
    return f"{value:.4f}".replace("-", "−") if value is not None and isfinite(value) else "–"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; what rounds to zero has none."""
    if abs(value) < 0.5 * 10**-digits:
        return f"{0:.{digits}f}"
    return f"{value:+.{digits}f}".replace("-", "−") if isfinite(value) else "–"


def money(amount: float, currency: str) -> str:
    """An amount; what is less than a hundredth of a cent is said to be that."""
    if 0 < amount < 1e-4:
        return f"< 0.0001 {currency}"
    return f"{amount:,.{2 if amount >= 0.1 or not amount else 4}f} {currency}"
