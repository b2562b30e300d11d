"""Processor cores, worker processes, jobs and signals."""
