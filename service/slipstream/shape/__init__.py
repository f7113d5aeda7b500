"""How a tenant's stored events look to its readers: masked, run through hooks, with the tenant's event key. Pure."""
