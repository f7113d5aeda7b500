"""Our log, on NATS JetStream. The only package that imports nats; no NATS type leaves it."""
