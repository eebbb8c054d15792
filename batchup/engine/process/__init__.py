"""Worker processes: the pool, its processes, what goes through their pipes, and the memory that they share."""
