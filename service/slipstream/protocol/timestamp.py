"""Times as text (RFC 3339), as users and NATS read them."""

from datetime import UTC, datetime


def rfc3339(time_ms: int) -> str:
    """Milliseconds since 1970 in UTC: `2026-11-24T12:00:00.000Z`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
