"""How a job has ended is kept in its run directory."""

from skinlab.cli.sweeps.job_log import keep_error, keep_time, read_error, read_time


def test_the_log_of_a_run_has_the_error_of_a_job_once(tmp_path):
    for _ in range(2):
        keep_error(tmp_path, "api_key=abc is wrong")
    assert read_error(tmp_path) == "api_key=*** is wrong"
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 1
    keep_error(tmp_path / "no" / "folder", "an error")
    assert read_error(tmp_path / "no" / "folder") == ""


def test_the_error_of_a_job_that_removed_its_empty_folder_is_kept(tmp_path):
    keep_error(tmp_path / "0", "model.init=x: no such file")
    assert read_error(tmp_path / "0") == "model.init=x: no such file"


def test_the_time_of_a_job_is_kept_with_its_config_once_it_has_finished(tmp_path):
    config = {"seed": 1, "run_dir": str(tmp_path)}
    keep_time(tmp_path, config, 61.5)
    assert read_time(tmp_path, config) is None
    (tmp_path / "metrics.json").write_text("{}")
    assert read_time(tmp_path, config) == 61.5
    assert read_time(tmp_path, config | {"seed": 2}) is None
    (tmp_path / ".unfinished").touch()
    assert read_time(tmp_path, config) is None
