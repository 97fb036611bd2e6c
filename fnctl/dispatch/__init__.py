"""The function service: admits invocations, brings instances up for them, ends idle ones, writes receipts."""
