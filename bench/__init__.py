"""Measure wsgiserve and its peers on one machine in one run. CONTRIBUTING.md lists the commands."""
