import pytest

from skinlab.assessment.run_evidence import check_wanted
from skinlab.errors import UserError
from tests.command_settings import settings_of


def test_a_subgroup_that_the_data_lacks_is_refused_before_training(tmp_path):
    settings = settings_of("train", "data=phantom", "evidence.subgroups=[skin_tone,sex]", f"run_dir={tmp_path}")
    check_wanted(settings)
    with pytest.raises(UserError, match=r"evidence\.subgroups=skin_tone: the data has no such column"):
        check_wanted(settings, ["nv", "mel"], ["age", "sex"])
    (tmp_path / "m.csv").write_text("image_id,fitzpatrick\na,II\n")
    words = ("data=phantom", "evidence.subgroups=[skin_tone,sex]", f"evidence.metadata={tmp_path / 'm.csv'}")
    check_wanted(settings_of("train", *words, f"run_dir={tmp_path}"), ["nv", "mel"], ["age", "sex"])
    with pytest.raises(UserError, match=r"none\.csv is not there"):
        check_wanted(settings_of("train", "data=phantom", "evidence.metadata=none.csv", f"run_dir={tmp_path}"))
