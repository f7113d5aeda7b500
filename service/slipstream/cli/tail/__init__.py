"""`slipstream tail`: a real reader in a terminal, which resumes, checks the order, and keeps its place."""
