"""Benchmarks of frameworks and of file serving, which run on a server or without one."""
