"""A tiny pretraining: 32 px, a network of 96 features, random views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from skinlab.selfsup.methods import needed_views
from skinlab.selfsup.pretrainer import Pretrainer
from tests.choices import choices, read_choice

# What makes a method small, where it has the setting.
SMALL = {"hidden_dim": 32, "output_dim": 16, "prediction_dim": 8, "queue": 24, "bottleneck_dim": 8, "local_views": 2}
SMALL |= {"width": 16}


def settings_of(name: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of conf/ssl/NAME.yaml, smaller."""
    content = read_choice("ssl", name)
    return content | {key: value for key, value in SMALL.items() if key in content} | settings


@pytest.fixture(params=choices("ssl"))
def name(request: pytest.FixtureRequest) -> str:
    """Each method in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def pretrainer() -> Callable[..., Pretrainer]:
    """Build the module of a method: its name and settings other than the small ones in."""

    def built(name: str, seed: int = 0, lr: float = 1e-3, **settings: Any) -> Pretrainer:
        torch.manual_seed(seed)
        return Pretrainer(
            network={"name": "test_resnet"},
            method=settings_of(name, **settings),
            inputs={"image_size": 32, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3},
            optimizer={"name": "adamw", "lr": lr, "weight_decay": 0.01, "layer_decay": 1.0},
            scheduler={"name": "cosine", "warmup_epochs": 0.0, "min_ratio": 0.1},
            seed=seed,
        )

    return built


@pytest.fixture(scope="session")
def make_batches() -> Callable[..., list[dict[str, Any]]]:
    """Draw batches of views as the loader would give them: images, and brighter or darker copies of them."""

    def drawn(name: str, n: int = 3, size: int = 8, seed: int = 0) -> list[dict[str, Any]]:
        generator = torch.Generator().manual_seed(seed)
        large, small = needed_views(settings_of(name))

        def view(images: torch.Tensor, side: int) -> torch.Tensor:
            noise = 20 * torch.randn(images.shape, generator=generator)
            return (
                (images + noise)[..., :side, :side].clamp(0, 255).byte().contiguous(memory_format=torch.channels_last)
            )

        batches = []
        for number in range(n):
            coarse = 255 * torch.rand(size, 3, 4, 4, generator=generator)
            images = torch.nn.functional.interpolate(coarse, 32)
            views = [view(images, 32) for _ in range(large)] + [view(images, 16) for _ in range(small)]
            batches.append({"views": views, "row": torch.arange(size) + number * size})
        return batches

    return drawn


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., pl.Trainer]:
    """Train on batches as they stand; every epoch leaves a checkpoint ``epoch=N.ckpt``."""

    def run(
        module: pl.LightningModule, batches: list[Any], *, ckpt_path: Path | None = None, **settings: Any
    ) -> pl.Trainer:
        saver = pl.callbacks.ModelCheckpoint(tmp_path / "ckpt", filename="{epoch}", save_top_k=-1)
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[saver, *settings.pop("callbacks", [])],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **{"max_epochs": 1} | settings,
        )
        # Its own generator, as ours have: a seed drawn from the global one would shift all that follows.
        loader = torch.utils.data.DataLoader(batches, batch_size=None, generator=torch.Generator())
        trainer.fit(module, loader, ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return run
