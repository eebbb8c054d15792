"""Expressions: values that are known when a pipeline runs."""
