"""What is written down: receipts completed by the kernel's figures, logs, and the reading of them."""
