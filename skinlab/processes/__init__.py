"""Manage processor cores, worker processes, jobs and signals."""
