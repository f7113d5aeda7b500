"""What we see of ourselves: the only package that imports opentelemetry, and the only one that configures logging."""
