"""Predictions tables of a run's validation and test part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlab.data.datamodule import SkinDataModule
from skinlab.evaluation.predictions import predictions_table
from skinlab.inference.bundle import Bundle, best_device
from skinlab.models.prediction import predict_probabilities


def predict_splits(bundle: Bundle, datamodule: SkinDataModule) -> dict[str, pd.DataFrame]:
    """Predict the validation and the test images of a run.

    Args:
        bundle: of one network.
        datamodule: of the run.

    Returns:
        ``val`` and ``test``, as far as they have images → predictions table, probabilities rounded to six decimals.
    """
    device = best_device()
    network = bundle.classifier.to(device)
    tables = {}
    for split in ("val", "test"):
        if len(rows := datamodule.rows(split)):
            probabilities = predict_probabilities(network, datamodule.inference_loader(split), device=device)
            tables[split] = predictions_table(rows, np.round(probabilities, 6), bundle.classes)
    return tables
