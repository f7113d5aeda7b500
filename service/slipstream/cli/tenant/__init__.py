"""`slipstream tenant ...`: the tenants' documents in the NATS bucket, and their streams."""
