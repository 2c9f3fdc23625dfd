"""Benchmarks of wsgiserve beside other servers and frameworks; bench/README.md lists the commands."""
