"""An Optuna study in the folder of a sweep survives a kill and is shared by processes."""

import math
import multiprocessing
import signal
import subprocess
import sys

import pytest

from skinlab.cli.sweeps.search import Search, read_space
from skinlab.cli.sweeps.sweep import FAILED_VALUE
from skinlab.errors import UserError

SPACE = ["x=interval(0.0,1.0)", "loss=ce,focal", "depth=int(interval(1,4))", "seed=3"]
OPEN = f"""
import sys, time
from pathlib import Path
from skinlab.cli.sweeps.search import Search, read_space
search = Search(Path(sys.argv[1]), *read_space({SPACE}), "tpe", 0, 12)
"""
KEPT: list[Search] = []  # of a process that is killed, so that it holds their locks until then


def open_search(folder, *overrides, n_trials=12, sampler="tpe", seed=0):
    return Search(folder, *read_space([*SPACE, *overrides]), sampler, seed, n_trials)


def start(script, folder):
    return subprocess.Popen([sys.executable, "-c", OPEN + script, str(folder)], stdout=subprocess.PIPE, text=True)


def ask(folder, sampler, number):
    KEPT.append(open_search(folder, sampler=sampler))
    return KEPT[-1].next_trials(number)


def left_by_a_killed_process(folder, sampler="tpe", number=1):
    with multiprocessing.get_context("fork").Pool(1) as pool:  # killed where the block ends
        return pool.apply(ask, (folder, sampler, number))


def value(params):
    return (params["x"] - 0.3) ** 2 + (params["loss"] == "ce")


def run_all(search):
    while trials := search.next_trials(1):
        search.finish(trials[0], value(trials[0].params))


def params_of(search):
    return [each.params for each in search.finished()]


@pytest.mark.parametrize("words", ["x=interval(2,1)", "x=tag(log,interval(0,1))"])
def test_a_range_without_numbers_is_refused(words):
    with pytest.raises(UserError, match="give interval"):
        read_space([words])


def test_choices_ranges_and_fixed_values_are_told_apart():
    space, fixed = read_space(SPACE)
    assert {key: type(each).__name__ for key, each in space.items()} == {
        "x": "FloatDistribution",
        "loss": "CategoricalDistribution",
        "depth": "IntDistribution",
    }
    assert fixed == {"seed": "3"}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_is_interrupted_in_every_trial_is_the_same_search(tmp_path, sampler):
    run_all(whole := open_search(tmp_path / "whole", sampler=sampler))
    for _ in range(12):
        (left,) = left_by_a_killed_process(tmp_path / "parts", sampler)
        parts = open_search(tmp_path / "parts", sampler=sampler)
        (again,) = parts.next_trials(1)
        assert (again.number, again.params) == (left.number, left.params)
        parts.finish(again, value(again.params))
    assert params_of(parts) == params_of(whole)
    assert len({each["x"] for each in params_of(whole)}) == 12
    assert parts.next_trials(1) == []


def test_the_trial_of_a_killed_process_is_taken_over_and_that_of_a_running_one_is_not(tmp_path):
    script = "(trial,) = search.next_trials(1)\nprint(trial.number, flush=True)\ntime.sleep(600)"
    with start(script, tmp_path) as process:
        assert process.stdout.readline() == "0\n"
        search = open_search(tmp_path)
        (second,) = search.next_trials(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (first,) = search.next_trials(1)
    assert (second.number, first.number) == (1, 0)
    assert search.next_trials(2)[0].number == 2, "what this process holds is not given twice"


def test_two_processes_share_a_study_and_run_each_trial_once(tmp_path):
    script = (
        "while trials := search.next_trials(1):\n"
        "    print(trials[0].number)\n"
        "    search.finish(trials[0], trials[0].params['x'])\n"
    )
    both = [start(script, tmp_path) for _ in range(2)]
    ran = [int(word) for process in both for word in process.communicate(timeout=600)[0].split()]
    assert sorted(ran) == list(range(12))
    assert [process.returncode for process in both] == [0, 0]
    assert len(open_search(tmp_path).finished()) == 12


def test_a_trial_that_was_left_without_values_is_dropped(tmp_path):
    search = open_search(tmp_path, n_trials=2)
    search.study.ask()  # killed before the values were drawn
    run_all(search)
    assert [each.number for each in search.finished()] == [1, 2]


def test_a_value_that_is_no_number_is_the_worst_one_and_has_no_part_in_the_importances(tmp_path):
    search = open_search(tmp_path, sampler="random", n_trials=40)
    search.finish(search.next_trials(1)[0], math.nan)
    assert search.finished()[0].value == FAILED_VALUE
    assert search.importances() == {}, "too few trials"
    run_all(search)
    shares = search.importances()
    assert shares.keys() == search.space.keys()
    assert sum(shares.values()) == pytest.approx(1)


def test_what_several_killed_trials_have_left_is_run_one_after_the_other(tmp_path):
    left_by_a_killed_process(tmp_path, number=3)
    run_all(search := open_search(tmp_path))
    assert [each.number for each in search.finished()] == list(range(12))


def test_a_study_of_other_settings_without_a_finished_trial_is_made_anew(tmp_path):
    left_by_a_killed_process(tmp_path)
    (trial,) = open_search(tmp_path, "loss=ldam,class_balanced").next_trials(1)
    assert trial.number == 0
    assert trial.params["loss"] in ("ldam", "class_balanced")


def test_a_study_of_other_settings_is_refused(tmp_path):
    search = open_search(tmp_path)
    search.finish(search.next_trials(1)[0], 0.5)
    open_search(tmp_path, n_trials=40)
    with pytest.raises(UserError, match=r"a search with other values of loss, seed: go on with the same settings"):
        open_search(tmp_path, "seed=4", "loss=ce,ldam")
