"""From the log to the sockets: who sees the same bytes, and how those bytes get out. No HTTP library here."""
