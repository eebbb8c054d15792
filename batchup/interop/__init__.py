"""Support for other frameworks: one module per framework, imported only when you use it."""
