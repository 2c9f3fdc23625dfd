"""Shared by all benchmarks: a server as a child process, its processor time and memory, tables, pages."""
