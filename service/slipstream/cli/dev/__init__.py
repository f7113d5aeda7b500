"""`slipstream dev`: a whole cluster on one machine, with real events and a page that shows them.

A real nats-server and a real caddy from their wheels, two edges, two tenants. Every child is in a session of its own,
so that a Ctrl-C of the terminal reaches this process alone, and this process ends them in order; their output goes to
files of the data folder.
"""
