"""Measure wsgiserve and its peers on one machine in one run: `python -m bench`."""
