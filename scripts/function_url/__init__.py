"""A local Function URL: what SCF does between an HTTP request and `main_handler`, including its traps."""
