"""What measures fnctl itself (`make bench`). In a checkout only: what measures a user's function is `fnctl.bench`."""
