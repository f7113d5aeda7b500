"""Hooks from users' packages, run in a child process per tenant: what they do wrong costs their own tenant alone."""
