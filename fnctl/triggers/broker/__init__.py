"""Brokers as sources of calls: Redis streams, NATS, MQTT. A broker is never where calls are kept."""
