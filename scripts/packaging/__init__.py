"""Builds the zip that is deployed to SCF."""
