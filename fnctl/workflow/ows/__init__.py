"""Runs of definitions in the Open Workflow Specification: kept in the store, and in touch with functions, the bus,
addresses and sandboxes. The language itself is `fnctl.openworkflow`."""
