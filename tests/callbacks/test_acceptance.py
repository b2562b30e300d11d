"""What is counted of a strategy's pseudo-labels, against counts by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from skinlab.callbacks.acceptance import AcceptanceLog, acceptance_table, count_accepted
from skinlab.models.strategy import PseudoLabels, Strategy

HIDDEN = torch.tensor([0, 0, 1, 1, -1, 0])


def judged(label: list[int], accepted: list[int]) -> PseudoLabels:
    return PseudoLabels(torch.tensor(label), torch.tensor(accepted, dtype=torch.bool))


def test_counts_are_those_by_hand():
    counts = count_accepted(judged([0, 1, 1, 0, 1, 0], [1, 1, 1, 0, 1, 1]), HIDDEN, 3)
    assert counts.tolist() == [[3, 2, 2, 2], [3, 3, 2, 1], [0, 0, 0, 0]]
    table = acceptance_table(counts, ["nv", "mel", "df"], epoch=4)
    assert table["share"].tolist() == pytest.approx([0.4, 0.6, 0.0])
    assert table["precision"].tolist()[:2] == [1.0, 0.5]
    assert table["precision"].isna().tolist() == [False, False, True]


def test_an_epoch_is_written_and_logged_and_replaced_when_it_is_repeated(tmp_path):
    strategy, logged = Strategy(), {}
    module = SimpleNamespace(semi=strategy, log=logged.__setitem__, device=torch.device("cpu"))
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(hidden_targets=lambda rows: HIDDEN[rows]),
        strategy=SimpleNamespace(reduce=lambda counts, reduce_op: counts),
        is_global_zero=True,
    )

    def epoch(number: int, steps: list[tuple[list[int], PseudoLabels]]) -> pd.DataFrame:
        trainer.current_epoch = number
        log = AcceptanceLog(tmp_path / "semi.csv", ["None", "mel"])
        log.on_train_epoch_start(trainer, module)
        for rows, strategy.pseudo_labels in steps:
            log.on_train_batch_end(trainer, module, None, {"pool": {"row": torch.tensor(rows)}}, 0)
        log.on_train_epoch_end(trainer, module)
        return pd.read_csv(tmp_path / "semi.csv", keep_default_na=False)

    steps = [([0, 2], judged([0, 0], [1, 1])), ([3, 4], judged([1, 1], [0, 1]))]
    table = epoch(0, steps)
    assert table[["epoch", "class", "judged", "accepted"]].to_numpy().tolist() == [[0, "None", 2, 2], [0, "mel", 2, 1]]
    assert logged == {"semi/accepted": 0.75, "semi/precision": 0.5}
    assert epoch(1, steps)["epoch"].tolist() == [0, 0, 1, 1]
    again = epoch(1, steps[:1])
    assert again["epoch"].tolist() == [0, 0, 1, 1]
    assert again["judged"].tolist() == [2, 2, 2, 0]
    assert again["precision"].tolist() == ["0.5", "", "0.5", ""]
    assert not list(tmp_path.glob(".*"))
    for damaged in ("", "\0\0", "a,b\n1,2\n", "epoch,class,judged,accepted,known,right,precision\nx,a,1,1,1,1,1\n"):
        (tmp_path / "semi.csv").write_text(damaged)
        assert epoch(2, steps)["epoch"].tolist() == [2, 2]
