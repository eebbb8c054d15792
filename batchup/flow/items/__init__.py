"""Work per item: actions, who runs them, and what random numbers each item gets."""
