"""How predictions change with the images: conditions of a probe, their differences, and the verdict of all probes."""
