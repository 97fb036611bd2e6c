"""What must outlive a process: queues with leases, logs with compare-and-append, and keys with versions."""
