"""Limits that hold for all processes together: shares, leases, rates. Pure: time is an argument, I/O is elsewhere."""
