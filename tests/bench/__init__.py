"""Speed as ratios, each taken in one run: ``make bench``, or ``python -m tests.bench PART`` for one part."""
