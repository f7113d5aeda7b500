"""All kinds of faults; importing this fills `tests.faults.fault.KINDS`."""

from tests.faults.kinds import access, clients, edges, history, machine, messages, network, nodes

__all__ = ["access", "clients", "edges", "history", "machine", "messages", "network", "nodes"]
