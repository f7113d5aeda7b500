"""Origins against a model: an origin taken apart by the standard library, its labels compared one by one."""

from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.tenants.cors import Cors, check_origin
from slipstream.tenants.origin import allowed, allowed_by_any, cookie_allowed, together

FEW = settings(derandomize=True, deadline=None, max_examples=400, database=None)

SCHEMES = st.sampled_from(["http", "https"])
LABELS = st.lists(st.sampled_from(["a", "b", "acme", "evil-acme", "xn--a-1", "com"]), min_size=2, max_size=4)
PORTS = st.sampled_from(["", ":81", ":8443"])
ORIGINS = st.builds(lambda scheme, labels, port: f"{scheme}://{'.'.join(labels)}{port}", SCHEMES, LABELS, PORTS)
PATTERNS = ORIGINS.map(lambda origin: origin.replace("://", "://*."))
RULES = st.lists(ORIGINS | PATTERNS, max_size=4).map(lambda origins: Cors(origins=tuple(origins)))

# What stands in for, before, behind or inside an origin when somebody tries.
ASCII = (".", "/", "@", ":", ":443", ":80", "*", "*.", "#", "?", "\\", " ", "\t", "\n", "\0", "%2e", ",", "null", "A")
UNICODE = ("\u0430", "\u3002", "\uff0e", "\u00ad", "\udc80", "\u2024")
NOISE = st.sampled_from(ASCII + UNICODE)


def model(origin: str, cors: Cors) -> bool:
    sent = urlsplit(origin)
    for rule in cors.origins:
        one = urlsplit(rule)
        ours, theirs = (one.hostname or "").split("."), (sent.hostname or "").split(".")
        labels = len(ours) == len(theirs) and all(own in (other, "*") for own, other in zip(ours, theirs, strict=True))
        if (one.scheme, one.port) == (sent.scheme, sent.port) and labels:
            return True
    return False


@FEW
@given(ORIGINS, RULES)
def test_an_origin_is_allowed_exactly_when_the_model_says_so(origin: str, cors: Cors) -> None:
    assert allowed(origin, cors) == model(origin, cors)
    assert cookie_allowed("cross-site", origin, cors) == model(origin, cors)
    assert (allowed_by_any(origin, together([cors])) is not None) == model(origin, cors)


@FEW
@given(ORIGINS, st.booleans())
def test_a_rule_covers_itself_and_a_pattern_exactly_one_label(origin: str, credentials: bool) -> None:  # noqa: FBT001
    pattern = origin.replace("://", "://*.")
    exact, wide = (Cors(origins=(rule,), credentials=credentials) for rule in (origin, pattern))
    assert allowed(origin, exact)
    assert not allowed(origin, wide)
    assert not allowed(pattern, wide)
    assert allowed(origin.replace("://", "://x."), wide)
    assert not allowed(origin.replace("://", "://x.y."), wide)
    assert not allowed(origin.replace("://", "://x."), exact)


@FEW
@given(ORIGINS, st.data())
def test_no_noise_makes_an_origin_of_another(origin: str, data: st.DataObject) -> None:
    """Whatever is put into an origin, the rule and the pattern for its name do not cover the result."""
    noise = data.draw(NOISE)
    place = data.draw(st.integers(0, len(origin)))
    tried = origin[:place] + noise + origin[place:]
    scheme, _, host = origin.partition("://")
    cors = Cors(origins=(origin, f"{scheme}://*.{host}"))
    assert not allowed(tried, cors)


@FEW
@given(st.text() | NOISE.flatmap(lambda noise: ORIGINS.map(lambda origin: origin + noise)), RULES)
def test_any_text_has_an_answer_and_what_is_allowed_is_an_origin(text: str, cors: Cors) -> None:
    if allowed(text, cors):
        assert check_origin(text) == text
