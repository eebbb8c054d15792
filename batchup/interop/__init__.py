"""What batchup has for other frameworks, one module for each; imported when it is used."""
