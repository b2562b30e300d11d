"""Images are predicted in batches; those that vanish meanwhile end the prediction."""

import pytest
import torch

from skinlab.errors import UserError
from skinlab.inference.predict_images import readable_batches


@pytest.mark.parametrize("drop_bad", [False, True])
def test_images_that_vanish_while_they_are_predicted_are_not_left_out(tmp_path, drop_bad):
    def batches():
        path.unlink()
        yield {"row": torch.tensor([0]), "image": torch.zeros(1, 3, 4, 4), "bad": {0: "does not exist"}}

    (path := tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"1 of 1 image was removed while they were read \(first: .*a\.jpg\); put"):
        list(readable_batches(batches(), [str(path)], {}, drop_bad=drop_bad))
