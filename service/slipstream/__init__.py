"""Slipstream: a horizontally scaled server-sent-events cluster over NATS JetStream."""

__version__ = "0.1.0"
