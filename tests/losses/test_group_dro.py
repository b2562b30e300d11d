import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from skinlab.losses.group_dro import GroupDRO


def test_without_steps_every_group_weighs_the_same_and_empty_ones_nothing():
    logits = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    target, domain = torch.tensor([0, 0, 0, 1, 0, 0, 1]), torch.tensor([0, 0, 0, 0, 1, 1, 0])
    loss = GroupDRO(step_size=0.0, group_counts=[3, 2, 2, 0])
    values = F.cross_entropy(logits, target, reduction="none")
    expected = torch.stack([values[:3].mean(), values[[3, 6]].mean(), values[4:6].mean()]).mean()
    torch.testing.assert_close(loss(logits, target, domain), expected)
    torch.testing.assert_close(loss(logits, target), values.mean())


def test_the_weight_of_a_group_follows_its_loss():
    loss = GroupDRO(step_size=0.5, group_counts=[1, 1, 1, 1])
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    target, domain = torch.tensor([0, 1]), torch.tensor([0, 1])
    values = F.cross_entropy(logits, target, reduction="none")
    value = loss(logits, target, domain)
    grown = torch.exp(0.5 * torch.tensor([values[0], 0.0, 0.0, values[1]]))
    torch.testing.assert_close(loss.weight, grown / grown.sum())
    torch.testing.assert_close(value, loss.weight[0] * values[0] + loss.weight[3] * values[1])


def toy(n: int, tied: float, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images of two classes: a weak true feature, and a strong one that is the class's in a share `tied` of them."""
    draw = torch.Generator().manual_seed(seed)
    target = torch.randint(2, (n,), generator=draw)
    domain = (torch.rand(n, generator=draw) > tied).long()  # 1: the minority, where the shortcut is turned round
    sign, shortcut = 2.0 * target - 1, (2.0 * target - 1) * (1 - 2 * domain)
    noise = torch.randn(n, 2, generator=draw)
    return torch.stack([sign + 1.0 * noise[:, 0], 3 * shortcut + 0.5 * noise[:, 1]], 1), target, domain


def accuracy_of_minority(robust: bool) -> float:
    torch.manual_seed(0)
    features, target, domain = toy(1000, 0.95, 1)
    groups = torch.bincount(2 * domain + target, minlength=4).tolist()
    loss, network = GroupDRO(step_size=0.05, group_counts=groups), torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(network(features), target, domain if robust else None).backward()
        optimizer.step()
    features, target, domain = toy(4000, 0.5, 2)
    right = network(features).argmax(1) == target
    return right[domain == 1].float().mean().item()


def test_the_minority_is_classified_where_the_mean_loss_fails():
    assert accuracy_of_minority(robust=False) < 0.4
    assert accuracy_of_minority(robust=True) > 0.65


def test_processes_share_the_weights_and_the_loss_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch):
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    target, domain = torch.tensor([0, 1, 0, 1, 0, 0]), torch.tensor([0, 0, 1, 1, 1, 0])
    whole = GroupDRO(step_size=0.1, group_counts=[1, 1, 1, 1])
    expected = whole(logits, target, domain)
    values = F.cross_entropy(logits, target, reduction="none")
    members = F.one_hot(2 * domain + target, 4).float()
    parts = []
    for mine in (slice(0, 4), slice(4, 6)):
        sums = iter([values @ members, members.sum(0)])  # what the processes have together
        monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
        monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
        monkeypatch.setattr("torch.distributed.all_reduce", lambda each, sums=sums: each.copy_(next(sums)))
        loss = GroupDRO(step_size=0.1, group_counts=[1, 1, 1, 1])
        parts.append(loss(logits[mine], target[mine], domain[mine]))
        torch.testing.assert_close(loss.weight, whole.weight)
    torch.testing.assert_close(torch.stack(parts).mean(), expected)
