import numpy as np
import torch

from skinlab.alterations import colour
from skinlab.models import normalise
from skinlab.models.normalise import Normalise


def test_batches_and_single_images_have_their_light_removed_alike():
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    images[0] = 0
    images[1, ..., 2] //= 3
    expected = np.stack([colour.shades_of_gray(image) for image in images])
    found = normalise.shades_of_gray(torch.from_numpy(images).permute(0, 3, 1, 2).float()).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=0.75)


def test_a_module_without_constancy_keeps_the_colour_of_the_light():
    images = torch.tensor([200, 100, 100], dtype=torch.uint8).view(1, 3, 1, 1)
    kept, removed = (Normalise([0.0] * 3, [1.0] * 3, kind)(images).flatten() for kind in ("none", "shades_of_gray"))
    torch.testing.assert_close(kept, torch.tensor([200.0, 100.0, 100.0]) / 255)
    torch.testing.assert_close(removed, torch.full((3,), 141.42 / 255), atol=1e-3, rtol=0)
