"""What starts invocations: one folder a kind."""
