"""What each arm of a study has to beat."""

from __future__ import annotations

from skinlab.evaluation.statistics.verdicts import Controls
from skinlab.settings.commands.study import RecipeSettings, StudySettings


def controls_of(recipe: RecipeSettings) -> Controls:
    """Return what an arm has to beat, and what it is compared with beside."""
    return Controls(recipe.without_pool, recipe.controls or (), recipe.against or ())


def missing_controls(settings: StudySettings) -> list[str]:
    """Return a sentence on each arm whose controls are not all among the arms of the study."""
    found = []
    for arm in settings.arms:
        missing = [each for each in controls_of(settings.recipes[arm]).at(has_pool=True) if each not in settings.arms]
        if missing:
            titles = " and ".join(f"{each} ({settings.recipes[each].title})" for each in missing)
            found.append(f"{arm} gets no verdict without {titles}: add it to arms=[…].")
    return found
