"""The angle falls from light to dark skin, and hair and dark corners don't count."""

import numpy as np

from skinlab.alterations.skin_tone import tone_band, typology_angle


def test_the_angle_falls_from_light_to_dark():
    tones = [(245, 225, 215), (215, 175, 150), (170, 125, 95), (90, 60, 45)]
    skin = np.ones((8, 8), bool)
    angles = [typology_angle(np.full((8, 8, 3), tone, np.uint8), skin) for tone in tones]
    assert angles == sorted(angles, reverse=True)
    assert [tone_band(angle) for angle in angles][::3] == ["very light", "dark"]


def test_only_the_skin_counts():
    image = np.full((8, 8, 3), (215, 175, 150), np.uint8)
    clean = typology_angle(image, np.ones((8, 8), bool))
    image[:5] = 3  # a dark corner
    image[6] = (90, 60, 45)  # a lesion, outside the mask
    skin = np.ones((8, 8), bool)
    skin[6] = False
    assert typology_angle(image, skin) == clean
    assert np.isnan(typology_angle(image, image[..., 0] < 5))
