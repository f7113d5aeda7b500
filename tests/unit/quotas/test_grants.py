"""The keys of shares."""

import re

from slipstream.quotas.grants import subject_key, tenant_key


def test_keys_are_legal_apart_and_tell_no_subject() -> None:
    keys = [tenant_key("acme"), tenant_key("acme-2"), subject_key("acme", "ada@example.com"), subject_key("acme", "ß ")]
    assert len({*keys, subject_key("acme-2", "ada@example.com")}) == 5
    assert all(re.fullmatch(r"quota\.[a-z0-9-]+(\.[0-9a-f]{32})?", key) for key in keys)
    assert subject_key("acme", "ada@example.com") == keys[2]
