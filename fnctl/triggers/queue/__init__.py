"""Calls that are accepted now and made later: from the store, as often as their function's rule says."""
