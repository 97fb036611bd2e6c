"""Instances without a function, by tier; the making and unmaking of every sandbox."""
