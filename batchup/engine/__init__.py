"""The engine: trees, seeds, pools and streams. Everything else is built on it; it knows nothing of data sources."""
