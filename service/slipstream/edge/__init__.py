"""HTTP. aiohttp stops here: what goes further in is values, what comes back is values or a descriptor handed over."""
