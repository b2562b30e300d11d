"""Sweeps: their checks, their jobs, each in a process of its own or on a cluster, and the table at their end."""
