"""CESQL, the CloudEvents SQL expression language 1.0: filters of events, parsed once and asked of each event."""
