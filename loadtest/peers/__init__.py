"""Other servers of event streams beside Slipstream: the same machine, events, clients and moment for all of them.

`python -m loadtest.peers` runs them in turn and prints the ratio for each workload, also where Slipstream loses.

A peer is a file with a subclass of `peer.Peer`, and an entry in `registry.PEERS`: how it is installed, how it is
started, where its streams are, and how events get into it (`feed`: over TCP, a line each, or by HTTP POST). What a
library needs to be a server is a process of its own beside it (`*_server`, on `queues`).

Pure: `compare` (medians, ratios, verdicts) and what `feed`, `nchan` and `queues` say and read. `trial` measures one
peer once, `report` prints.
"""
