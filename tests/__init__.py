"""Tests of the function, through its front."""
