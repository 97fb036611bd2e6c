"""Measures functions as their users meet them, over HTTP, beside what one would run instead of fnctl."""
