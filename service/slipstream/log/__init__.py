"""What happened in a tenant, in order: the ring, where a reader stands in it, and which audience an event is for.

Everything here is pure: no clock, no socket, no task, no logging. Times are arguments. What must be fetched is named
by a port in `source`; who fetches it lives further out.
"""
