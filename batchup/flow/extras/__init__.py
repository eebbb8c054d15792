"""File formats, images, models, samplers of values, and tables of timings."""
