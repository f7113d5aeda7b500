"""Why each tenant's producers have an account of their own."""

from pathlib import Path

from slipstream.jetstream.permissions import inbox_prefix
from tests.contract.users import HASH, entered
from tests.servers import NatsServer


async def test_in_one_account_an_acknowledgement_is_stored_where_the_producer_says(tmp_path: Path) -> None:
    """Why producers have accounts of their own. Once this fails NATS judges replies, and one account may do."""
    rules = '{publish: ["sse.acme.>"], subscribe: ["_INBOX_acme.>"]}'
    config = (
        f'authorization {{ users: [{{user: "root", password: "{HASH}"}},'
        f' {{user: "acme-producer", password: "{HASH}", permissions: {rules}}}] }}'
    )
    async with (
        NatsServer(tmp_path, config=config) as server,
        entered(server, "root") as root,
        entered(server, "acme-producer", inbox_prefix("acme")) as held,
    ):
        context = root.client.jetstream()
        for tenant in ("acme", "other"):
            await context.add_stream(name=f"SSE_{tenant}", subjects=[f"sse.{tenant}.>"])
        bucket = await context.create_key_value(bucket="slipstream_tenants")
        await bucket.put("other", b"document")
        for reply in ("sse.other.forged", "$KV.slipstream_tenants.other"):
            await held.client.publish("sse.acme.a", b"1", reply=reply)
        await held.client.jetstream().publish("sse.acme.a", b"2")
        assert await held.refused() == []
        assert (await context.get_msg("SSE_other", 1)).subject == "sse.other.forged"
        assert (await bucket.get("other")).value == b'{"stream":"SSE_acme","seq":2}'
