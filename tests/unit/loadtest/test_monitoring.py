"""What the edge asked of NATS is counted on its own connection for requests."""

from loadtest.monitoring import sent


def test_only_the_edges_requests_count() -> None:
    connections = [
        {"name": "slipstream-api-1a2b3c4d", "in_msgs": 70},
        {"name": "slipstream-api-9f9f9f9f", "in_msgs": 5},
        {"name": "slipstream-feed-1a2b3c4d", "in_msgs": 900},
        {"in_msgs": 10_000},
    ]
    assert sent({"connections": connections}) == 75
