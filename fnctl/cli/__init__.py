"""The command line: one file a verb, one place where errors become exit codes."""
