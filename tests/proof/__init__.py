"""The proof: real events through real servers that are killed, to readers that are cut, and every delivery checked.

``python -m tests.proof`` starts a nats-server and two edges as processes, publishes through NATS, kills all of them at
random moments, and compares what every reader got with what the publisher was promised. It uses nothing of the package
under test but its command line and its data files: reader, matcher, id grammar and publisher are its own, so that a
fault shared by server and client cannot hide.
"""
