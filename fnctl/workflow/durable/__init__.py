"""AWS Lambda's durable functions: executions as their SDKs make them. Not HTTP (triggers/http/durable.py)."""
