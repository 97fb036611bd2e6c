"""Load, statistics and reports. Speaks HTTP to a running service only, so that it measures what users see."""
