"""The bucket `slipstream_leases` and what stands in it.

`live.<process>`: a sign of life. `quota.<tenant>` and `quota.<tenant>.<hash>`: `{process: granted}`. `want.<key>`: the
process that needs what lies idle. Entries that nobody renews expire by their own TTL.
"""

from __future__ import annotations

import logging

import orjson

from slipstream.jetstream.api import Api
from slipstream.jetstream.kv import Kv
from slipstream.jetstream.subjects import LEASES_BUCKET

_logger = logging.getLogger(__name__)


def lease_bucket(api: Api) -> Kv:
    """The bucket."""
    return Kv(api, LEASES_BUCKET, "Slipstream: shares of quotas, and which processes live")


def granted(key: str, data: bytes) -> dict[str, int]:
    """The document `{process: granted}`; what is none, or a removal, counts as empty."""
    try:
        return {str(process): max(0, int(count)) for process, count in orjson.loads(data or b"{}").items()}
    except (ValueError, TypeError, AttributeError) as error:
        _logger.warning("the shares of %s were overwritten by something else and begin again: %s", key, error)
        return {}
