"""The composition root: the only package that names every concrete part and puts them together."""

from slipstream.app.connect import connect
from slipstream.app.drain import drain
from slipstream.app.edge import Running, edge
from slipstream.app.serve import run_edge, serve

__all__ = ["Running", "connect", "drain", "edge", "run_edge", "serve"]
