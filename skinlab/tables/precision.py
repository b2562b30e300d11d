"""Say what rounded probabilities cost: zeros, and ties that make rankings coarser."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlab.evaluation.predictions import PREFIX, decimals, probability_floor, table_classes
from skinlab.text import portion


def precision_cautions(table: pd.DataFrame) -> list[str]:
    """Return a caution if the probabilities are rounded, with the zeros and ties that this made."""
    values = table[[PREFIX + name for name in table_classes(table)]].to_numpy()
    rounded = decimals(values)
    if rounded is None:
        return []
    if rounded == 0:
        return ["all probabilities are 0 or 1, so AUROC, average precision and calibration mean little."]
    zeros = int((values == 0).sum())
    tied = int(np.any([pd.Series(column).duplicated(keep=False) for column in values.T], axis=0).sum())
    found = f"probabilities are rounded to {rounded} decimals"
    if zeros:
        found += f"; {zeros} of them are 0 and count as {probability_floor(values):g} in log-loss and calibration"
    if tied:
        found += (
            f"; in the whole table {portion(tied, len(values), 'image', 'ties')} with another in a class, which makes "
            "ranking and thresholds coarser"
        )
    return [f"{found}."]
