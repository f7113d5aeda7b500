"""What a browser can bring back in a cookie."""

import pytest

from slipstream.edge.cookie import COOKIE, check_value
from slipstream.protocol.errors import Code, SlipstreamError

MOST = 4_096 - len(f"{COOKIE}=")


def test_a_token_fits_with_the_name_of_its_cookie() -> None:
    check_value("a" * MOST)
    check_value("head-0.pay_load.sig")


@pytest.mark.parametrize("token", ["a" * (MOST + 1), "", "a;b", "a b", "a,b", 'a"b', "a\r\nSet-Cookie: x=y", "é"])
def test_what_a_browser_would_cut_or_read_as_something_else_is_refused(token: str) -> None:
    with pytest.raises(SlipstreamError, match="does not fit") as refused:
        check_value(token)
    assert refused.value.code is Code.BAD_REQUEST
