"""What a person reads: figures and pages made from predictions and metrics."""
