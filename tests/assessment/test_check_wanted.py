import pandas as pd
import pytest

from skinlab.assessment.run_evidence import check_wanted
from skinlab.errors import UserError
from tests.command_settings import settings_of

ROWS = pd.DataFrame({"age": ["34", "71"], "sex": ["f", "m"], "site": ["back", ""], "id": ["1", "2"]})


def test_a_subgroup_that_the_data_lacks_is_refused_before_training(tmp_path):
    settings = settings_of("train", "data=phantom", "evidence.subgroups=[skin_tone,sex]", f"run_dir={tmp_path}")
    check_wanted(settings)
    with pytest.raises(UserError, match=r"evidence\.subgroups=skin_tone: the data has no such column"):
        check_wanted(settings, ["nv", "mel"], ROWS)
    (tmp_path / "m.csv").write_text("image_id,fitzpatrick\na,II\nb,V\n")
    words = ("data=phantom", "evidence.subgroups=[skin_tone,sex]", f"evidence.metadata={tmp_path / 'm.csv'}")
    check_wanted(settings_of("train", *words, f"run_dir={tmp_path}"), ["nv", "mel"], ROWS)
    with pytest.raises(UserError, match=r"none\.csv is not there"):
        check_wanted(settings_of("train", "data=phantom", "evidence.metadata=none.csv", f"run_dir={tmp_path}"))


def test_a_subgroup_of_one_or_very_many_values_is_refused_before_training(tmp_path):
    def settings(name):
        return settings_of("train", "data=phantom", f"evidence.subgroups=[{name}]", f"run_dir={tmp_path}")

    check_wanted(settings("age"), ["nv", "mel"], ROWS)
    with pytest.raises(UserError, match=r"evidence\.subgroups=site: the images have 1 value of it; leave it out"):
        check_wanted(settings("site"), ["nv", "mel"], ROWS)
    many = pd.DataFrame({"id": [str(k) for k in range(31)]})
    with pytest.raises(UserError, match=r"the images have 31 values of it; name a column of few values"):
        check_wanted(settings("id"), ["nv", "mel"], many)
    with pytest.raises(UserError, match=r"subgroups=age: the images have 1 value"):  # of its bands
        check_wanted(settings("age"), ["nv", "mel"], ROWS.assign(age=["31", "45"]))
