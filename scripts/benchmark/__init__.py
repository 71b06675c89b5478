"""Measures the function on this machine against what people could write instead."""
