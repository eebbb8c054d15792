"""These are programs, not tests: `test_programs.py` runs them."""

collect_ignore_glob = ["[0-9]*.py"]
