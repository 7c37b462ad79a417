"""Measurements of the hot paths, each beside a bare reference in the same run: `make bench`."""
