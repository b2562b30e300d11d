"""Log metrics, charts and reports, by loggers whose failure never stops a training."""
