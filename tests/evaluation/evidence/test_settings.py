from skinlab.evaluation.evidence.settings import RATES, EvaluationSettings


def test_systems_of_two_classes_are_compared_by_f1_of_the_positive():
    default = EvaluationSettings(compare_rates=False)
    assert "f1_positive" in default.with_comparison(2, rates=True).compare_by
    assert "f1_macro" not in default.with_comparison(2, rates=True).compare_by
    assert "f1_macro" in default.with_comparison(7, rates=False).compare_by
    set_by_hand = EvaluationSettings(compare_by=["f1_macro"])
    assert set_by_hand.with_comparison(2, rates=True).compare_by == ["f1_macro"]


def test_rates_are_compared_where_they_are_metrics_and_wanted():
    wanted = EvaluationSettings(compare_rates=True)
    assert set(RATES) <= set(wanted.with_comparison(2, rates=True).compare_by)
    assert not set(RATES) & set(wanted.with_comparison(7, rates=False).compare_by)
