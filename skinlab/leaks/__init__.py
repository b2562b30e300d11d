"""What a leak is worth: leaks of known size, put into trainings that are compared on one fixed test."""
