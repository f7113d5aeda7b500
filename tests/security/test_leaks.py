"""What leaves by the side: errors, logs, headers, ports, and fields that were to be hidden."""

import json
import logging
import re
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from slipstream.app import Running
from slipstream.telemetry.logs import JsonFormatter
from tests.integration.answers import JSON, problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import applied, bearer, get, minted, opened, post
from tests.integration.wire import Answer, Wire, call, until
from tests.security.attacks import attack
from tests.sse import Parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|/work|/usr|site-packages|slipstream\.\w+|aiohttp|Error\(|0x[0-9a-f]{6}|nats://"
)


class Broken(Exception):
    """What an inside fault would say: nothing of it is for strangers."""

    def __init__(self) -> None:
        super().__init__("password=hunter2 at nats://10.0.0.7:4222 in /work/slipstream/hub.py")


@attack("stack traces and insides in answers")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "poll"])
async def test_a_fault_of_ours_says_a_trace_id(
    cluster: Cluster, running: Running, method: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise Broken

    monkeypatch.setattr(running.services.registry, "get", fail)
    target = cluster.target(path="/v1/poll" if method == "poll" else "/v1/events")
    answer = await call(
        running.server.port,
        target,
        JSON,
        "Accept: text/event-stream",
        method="GET" if method == "poll" else method,
        body=b'{"topic":"a","data":1}' if method == "POST" else None,
    )
    if method != "HEAD":
        problem(answer, 500, "INTERNAL")
        assert answer.json["trace_id"] in caplog.text
    assert answer.status == 500
    said = answer.body.decode() + str({name: text for name, text in answer.headers.items() if name != "server"})
    assert not INSIDE.search(said), said
    assert "hunter2" not in said
    assert "hunter2" in caplog.text, "who runs it can find it"
    caplog.clear()


@attack("stack traces and insides in answers")
async def test_no_refusal_shows_the_inside(cluster: Cluster, running: Running, fenced: Running) -> None:
    answers: list[Answer] = []
    for edge in (running, fenced):
        port = edge.server.port
        for path in (
            "/",
            "/v1",
            "/v1/events/../../etc/passwd",
            "/%2e%2e/x",
            "/v1/events%00",
            "/v1/events;x",
            "//v1/poll",
        ):
            methods = "GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"
            answers += [await call(port, path, method=one, body=None if one == "GET" else b"") for one in methods]
        answers.append(await call(port, "/v1/events", bearer("x.y.z")))
        answers.append(await call(port, cluster.target("topic=$")))
        answers.append(await call(port, cluster.target(), "Expect: something", JSON, method="POST", body=b"{}"))
    for answer in answers:
        assert answer.status < 500, answer
        said = answer.body.decode()
        assert not INSIDE.search(said), said
        if answer.body and answer.status != 417:
            assert answer.headers["content-type"] == "application/problem+json", answer


EVIL_LOG = '\r\n{"level":"error","message":"forged"}\x1b[2J\x1b[31m","x":"\u2028\u0085\0'


@attack("log injection: CR, LF, ANSI, JSON")
async def test_whatever_is_logged_is_one_line(
    cluster: Cluster, running: Running, fenced: Running, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """Everything that a caller can write is put where something may log it, down to a fault inside."""
    caplog.set_level(logging.DEBUG)
    evil = quote(EVIL_LOG)
    text = minted(cluster, sub=EVIL_LOG[:200], jti=EVIL_LOG[:200])
    for edge in (running, fenced):
        port = edge.server.port
        for target in (f"/{evil}", f"/v1/events?topic={evil}", f"/v1/events?tenant={evil}", f"/v1/poll?since={evil}"):
            await call(port, target, bearer(text), f"User-Agent: {EVIL_LOG[2:20]}")
        stream_text = minted(cluster, sub=EVIL_LOG[:200])
        await call(port, cluster.target(), bearer(stream_text), JSON, method="POST", body=EVIL_LOG.encode())
        await cluster.put("log", b"1", {"Sse-Event": "a\x1bb"})
    stream, _ = await opened(cluster, fenced, "", bearer(text))
    stream.wire.close()
    await until(lambda: not len(fenced.services.hub.reactor), "the stream has ended")

    def fail(*_: object) -> Any:
        raise ValueError(EVIL_LOG)

    monkeypatch.setattr(running.services.registry, "get", fail)
    assert (await call(running.server.port, cluster.target(evil))).status == 500
    formatter = JsonFormatter()
    lines = [formatter.format(record) for record in caplog.records]
    caplog.clear()
    assert any("forged" in line for line in lines), "nothing of it was logged: the test says nothing"
    for line in lines:
        assert not re.search(r"[\x00-\x1f\x7f]", line), line
        assert orjson.loads(line)["level"] in ("debug", "info", "warning", "error")


@attack("the admin port's paths on the clients' port")
@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/statusz", "/metrics", "/debug", "/debug/pprof", "/healthz", "/admin", "/v1/admin",
     "/config", "/statusz/", "//statusz", "/%73tatusz", "/v1/../statusz", "/STATUSZ", "/.env", "/.git/config",
     "/docs", "/openapi.json"],
)  # fmt: skip
async def test_the_inside_has_its_own_port(cluster: Cluster, fenced: Running, running: Running, path: str) -> None:
    for edge in (fenced, running):
        for headers in ([], ["Host: 127.0.0.1:8081"], ["X-Original-URL: /statusz"], ["X-Forwarded-For: 127.0.0.1"]):
            target = path.encode()
            lines = headers or ["Host: x"]
            answer = await raw_get(edge, target, *lines)
            assert answer.status == 404
            assert "process" not in answer.body.decode()
    # The other way round, nobody reads events by the admin's port.
    for events in (cluster.target(), cluster.target(path="/v1/poll")):
        assert (await call(running.server.admin_port, events)).status == 404


async def raw_get(edge: Running, target: bytes, *lines: str) -> Answer:
    wire = await Wire.open(edge.server.port)
    try:
        has_host = any(line.startswith("Host:") for line in lines)
        head = [
            b"GET " + target + b" HTTP/1.1",
            *([] if has_host else [b"Host: x"]),
            *(line.encode() for line in lines),
        ]
        await wire.send(b"\r\n".join([*head, b"", b""]))
        return await wire.answer()
    finally:
        wire.close()


PHONE, CARD, EMAIL = "13812341234", "110101199001011234", "ada@example.com"
RULES = [
    {"field": "phone", "method": "phone"},
    {"field": "id_card", "method": "id_card"},
    {"field": "email", "method": "email"},
]
HIDING = [
    {"phone": PHONE},
    {"PHONE": PHONE, "Phone": PHONE},
    {"p_h_o_n_e": PHONE, "ph-one": PHONE},
    {"\uff30\uff28\uff2f\uff2e\uff25": PHONE},
    {"phone": int(PHONE)},
    {"phone": float(PHONE)},
    {"phone": "".join(chr(0xFF10 + int(digit)) for digit in PHONE)},
    {"phone": [PHONE, [PHONE, {"phone": PHONE}]]},
    {"phone": {"home": PHONE, "work": {"n": PHONE}}},
    {"a": {"b": [{"c": {"phone": PHONE}}]}},
    [{"phone": PHONE}, [[{"phone": PHONE}]]],
    {"raw": json.dumps({"phone": PHONE})},
    {"raw": json.dumps({"raw": json.dumps({"raw": json.dumps({"phone": PHONE})})})},
    {"raw": "  " + json.dumps([{"phone": PHONE}]) + "\n"},
    {"id_card": CARD, "idCard": CARD, "ID-CARD": CARD},
    {"email": EMAIL, "E_MAIL": EMAIL, "e-mail": EMAIL},
]
SPELLED = [
    b'{"\\u0070hone":"13812341234"}',
    b'{"ph\\u006fne":13812341234}',
    b'{"phone":"\\u0031\\u0033812341234"}',
    b'{"phone":"1","phone":"13812341234"}',
    b'{"a":{"phone":"13812341234"},"a":{"phone":"13812341234"}}',
    b'{"phone":1.3812341234e10}',
    b'{ "phone" :\t"13812341234" }',
]
UNREADABLE = [
    b'{"phone":"13812341234"',
    b'{"phone":"13812341234"}}',
    b'phone: 13812341234 {"phone":"13812341234"}',
    b'\xef\xbb\xbf{"phone":"13812341234"}',
    b'{"phone":"13812341234"}{"phone":"13812341234"}',
    b'{"phone":NaN,"x":"13812341234"}',
    b"{'phone':'13812341234'}",
    b"[" * 3000 + b'{"phone":"13812341234"}' + b"]" * 3000,
]  # fmt: skip


async def seen(cluster: Cluster, fenced: Running, data: bytes) -> tuple[list[Parsed], list[bytes], str]:
    """What a masked reader gets of one event: live and replayed, its bytes, and a poll's answer."""
    text = bearer(minted(cluster, scope="subscribe"))
    live, _ = await opened(cluster, fenced, "topic=pii", text)
    seq = await cluster.put("pii", data)
    events = await live.take()
    place = f"{events[0].id.split('-')[0]}-{seq - 1}"
    again, _ = await opened(cluster, fenced, "topic=pii", text, f"Last-Event-ID: {place}")
    events += await again.take()
    page = await get(fenced, f"topic=pii&last_event_id={place}", text, path="/v1/poll")
    blocks = live.blocks[1:] + again.blocks
    live.wire.close()
    again.wire.close()
    return events, blocks, page.body.decode()


def hidden(said: str) -> bool:
    """Whether none of the secrets is there, in whatever digits, however escaped."""
    folded = "".join(chr(ord(each) - 0xFEE0) if "\uff10" <= each <= "\uff19" else each for each in said)
    folded = re.sub(r"\\+u00([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), folded)
    return not any(secret in folded for secret in (PHONE, CARD, EMAIL, "3812341234", "13812341234.0"))


@attack("masked fields: arrays, JSON in strings, other keys' spelling, other digits, numbers")
@pytest.mark.parametrize(
    "data",
    [*(json.dumps(one, ensure_ascii=False).encode() for one in HIDING), *SPELLED],
    ids=lambda data: ascii(data[:40]),
)
async def test_a_masked_field_is_masked_however_it_is_written(cluster: Cluster, fenced: Running, data: bytes) -> None:
    await applied(cluster, fenced, masking=RULES)
    events, blocks, page = await seen(cluster, fenced, data)
    assert hidden(b"".join(blocks).decode() + page)
    for event in events:
        assert event.event == "stream.gap" or "*" in event.data or "[hidden]" in event.data or "null" in event.data, (
            event
        )


@attack("masked fields: arrays, JSON in strings, other keys' spelling, other digits, numbers")
@pytest.mark.parametrize("data", UNREADABLE, ids=lambda data: ascii(data[:40]))
async def test_what_cannot_be_masked_for_sure_is_withheld(cluster: Cluster, fenced: Running, data: bytes) -> None:
    await applied(cluster, fenced, masking=RULES)
    events, blocks, page = await seen(cluster, fenced, data)
    assert hidden(b"".join(blocks).decode() + page)
    assert [json.loads(event.data)["reason"] for event in events if event.event == "stream.gap"] == ["withheld"] * 2
    await applied(cluster, fenced)


@attack("masked fields: arrays, JSON in strings, other keys' spelling, other digits, numbers")
async def test_an_error_does_not_repeat_what_is_masked(
    cluster: Cluster, fenced: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await applied(cluster, fenced, masking=RULES)
    for body in ({"topic": "a", "data": {"phone": PHONE}, "phone": PHONE}, {"topic": "$", "data": {"phone": PHONE}}):
        answer = await post(fenced, minted(cluster), body)
        assert answer.status == 400
        assert PHONE not in answer.body.decode()
    await seen(cluster, fenced, b'{"phone":"13812341234"')
    assert PHONE not in caplog.text
    await applied(cluster, fenced)
