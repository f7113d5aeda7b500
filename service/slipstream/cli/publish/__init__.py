"""`slipstream publish`: events into a tenant's log, over NATS."""
