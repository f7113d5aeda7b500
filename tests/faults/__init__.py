"""Faults on purpose: a real cluster under steady load, a nemesis that breaks it, and a judge of all that was seen.

``python -m tests.faults`` starts three nats-servers with streams of three copies, three edges, and Caddy before them;
every way between them is a proxy of ours. Publishers and readers are those of `tests.proof`, and so are the judge's
rules. See docs/chaos.md.
"""
