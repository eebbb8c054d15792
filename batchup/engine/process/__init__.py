"""Worker processes: the pool, the processes of it, what goes through their pipes, and the memory that they share."""
