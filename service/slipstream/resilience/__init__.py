"""How we fail: small parts that any service could use. Knows nothing of events, NATS or HTTP."""
