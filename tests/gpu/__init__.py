"""What is measured and tested on a CUDA machine without a network: ``make gpu`` packs it, ``run.sh`` runs it there."""
