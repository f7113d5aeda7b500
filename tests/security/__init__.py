"""Attacks on a real edge and a real nats-server, each with what it would give, and a table of how they were answered.

`attacks.yaml` is the list: every row has at least one test, here or elsewhere. `make security` runs them all.
"""
