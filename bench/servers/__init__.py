"""Benchmarks of servers: the cost of an answer, and the requests that fail during stops and deploys."""
