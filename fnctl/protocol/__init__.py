"""The host's side of layers/PROTOCOL.md: messages as values, and a blocking line to one sandbox. Decides nothing.

The service's own line is `fnctl.sandbox.link`, on the event loop; bench and tests, which play the host of one sandbox,
use the blocking one.
"""
