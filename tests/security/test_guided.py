"""Fuzzing that is guided by coverage reads files, and reports a parser that fails."""

import pytest

from tests.security.guided import main

pytest.importorskip("atheris")


@pytest.mark.slow
def test_a_parser_is_fuzzed_and_a_failure_is_counted(capsys):
    assert main(["2", "class map"]) == 0
    files, branches, failed = map(int, capsys.readouterr().out.splitlines()[1].split()[2:])
    assert files > 100
    assert branches > 50
    assert failed == 0
    assert main(["2", "no such parser"]) == 1
