"""Which of the media types on offer a client prefers, by the q-values of its Accept header (RFC 9110, section 12.5.1)."""

from functools import lru_cache


@lru_cache(64)
def preferred(accept: str | None, offered: tuple[str, ...]) -> str | None:
    """Return the offered type with the highest q-value, of equal ones the first offered; None when all are refused.

    No header, or an empty one, accepts everything.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_parse(entry) for entry in accept.split(",") if entry.strip()]
    best, best_quality = None, 0.0
    for media_type in offered:
        quality = _quality(media_type, ranges)
        if quality > best_quality:
            best, best_quality = media_type, quality
    return best


def _parse(entry: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in entry.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The most specific range that matches decides."""
    group = media_type.partition("/")[0]
    for pattern in (media_type, f"{group}/*", "*/*"):
        matching = [quality for name, quality in ranges if name == pattern]
        if matching:
            return max(matching)
    return 0.0
