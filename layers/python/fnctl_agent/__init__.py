"""The Python agent: dials the host, loads one function, serves its requests. The protocol is ../../PROTOCOL.md."""
