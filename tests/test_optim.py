"""Muon on convolutions is torch's Muon on the matrices that they are, wherever in memory they lie."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lincfa.optim import optimizer_of
from lincfa.trainconfig import OptimConfig, TrainingError

CONFIG = OptimConfig(lr=1e-2, weight_decay=0.1, muon=("inner",))


def named():
    torch.manual_seed(0)
    first, inner = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    return nn.ModuleDict({"first": first, "inner": inner, "last": nn.Conv2d(8, 3, 1)})


def forward(net, x):
    for part in net.values():
        x = part(x)
    return x


def steps(net, optimizer, count, first=0):
    for number in range(first, first + count):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        F.mse_loss(forward(net, x), x).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_moves_as_its_matrix_does_under_torchs_muon(layout, monkeypatch):
    monkeypatch.setattr("lincfa.optim.computes_in_bf16", lambda device: True)  # as torch's does anywhere
    net = named().to(memory_format=layout)
    matrix = nn.Parameter(net["inner"].weight.detach().flatten(1).clone())
    muon = torch.optim.Muon([matrix], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    optimizer = optimizer_of(net, CONFIG)
    for number in range(3):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        F.mse_loss(forward(net, x), x).backward()
        matrix.grad = net["inner"].weight.grad.flatten(1).clone()
        muon.step()
        optimizer.step()
        optimizer.zero_grad()
        assert net["inner"].weight.grad is None
    # Muon works in bfloat16, where the order of a sum counts: 1 % of a step of 0.2 lr sqrt(72).
    moved = (net["inner"].weight.detach().flatten(1) - matrix.detach()).abs().max()
    assert moved < 3 * 0.01 * 0.2 * 1e-2 * 72**0.5
    assert net["inner"].weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("shape", [(8, 72), (72, 8)])
@pytest.mark.parametrize("bf16", [True, False])
def test_muons_step_has_the_gradients_singular_vectors_and_values_near_one(shape, bf16, monkeypatch):
    monkeypatch.setattr("lincfa.optim.computes_in_bf16", lambda device: bf16)
    kernel = nn.Conv2d(shape[1], shape[0], 1, bias=False)
    optimizer = optimizer_of(nn.ModuleDict({"inner": kernel}), OptimConfig(lr=1.0, weight_decay=0.0, muon=("inner",)))
    before = kernel.weight.detach().clone()
    kernel.weight.grad = torch.randn(*shape, 1, 1, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(kernel.weight.grad.flatten(1), full_matrices=False)
    optimizer.step()
    step = (before - kernel.weight.detach()).flatten(1) / (0.2 * max(shape) ** 0.5)
    between = left.T @ step @ right.T  # singular vectors of the one by those of the other
    assert between.diagonal().min() > 0.6
    assert between.diagonal().max() < 1.3
    assert (between - torch.diag(between.diagonal())).abs().max() < (2e-2 if bf16 else 1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_with_a_parallel_1x1_a_kernel_stays_the_sum_of_two_that_are_trained_beside_each_other(layout, monkeypatch):
    monkeypatch.setattr("lincfa.optim.computes_in_bf16", lambda device: False)
    config = OptimConfig(lr=1e-2, weight_decay=0.1, muon=("inner", "beside"), parallel_1x1=True)
    net = named().to(memory_format=layout)
    merged = nn.ModuleDict({"inner": net["inner"]})
    pair = copy.deepcopy(merged)
    pair["beside"] = nn.Conv2d(8, 8, 1, bias=False)
    with torch.no_grad():
        pair["inner"].weight[:, :, 1, 1] -= pair["beside"].weight[:, :, 0, 0]
    one, two = (optimizer_of(merged, config), optimizer_of(pair, replace(config, parallel_1x1=False)))
    for number in range(3):
        x = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(number)).to(memory_format=layout)
        for optimizer, output in ((one, merged["inner"](x)), (two, pair["inner"](x) + pair["beside"](x))):
            F.mse_loss(output.relu(), x).backward()
            optimizer.step()
            optimizer.zero_grad()
    total = pair["inner"].weight.detach() + F.pad(pair["beside"].weight.detach(), (1, 1, 1, 1))
    torch.testing.assert_close(merged["inner"].weight.detach(), total, rtol=1e-4, atol=1e-5)


def test_the_other_weights_move_as_under_adamw():
    """The inner kernel is held in both, so that the gradients of the others are the same."""
    nets = named(), named()
    optimizers = optimizer_of(nets[0], CONFIG), optimizer_of(nets[1], OptimConfig(lr=1e-2, weight_decay=0.1))
    kept = nets[0]["inner"].weight.detach().clone()
    for number in range(3):
        for net, optimizer in zip(nets, optimizers, strict=True):
            steps(net, optimizer, 1, number)
            with torch.no_grad():
                net["inner"].weight.copy_(kept)
    for name in ("first.weight", "first.bias", "inner.bias", "last.weight", "last.bias"):
        assert torch.equal(nets[0].state_dict()[name], nets[1].state_dict()[name]), name


def test_a_kernel_of_each_channel_alone_is_adamws():
    net = nn.ModuleDict({"mix": nn.Conv2d(4, 6, 1), "each": nn.Conv2d(6, 6, 3, groups=6)})
    both = optimizer_of(net, OptimConfig(muon=("mix", "each")))
    alone = optimizer_of(net, OptimConfig(muon=("mix",)))
    for optimizer in (both, alone):
        sizes = [[p.numel() for p in group["params"]] for group in optimizer.param_groups]
        assert sizes == [[24], [54], [6, 6]]


def test_a_state_that_was_kept_goes_on_as_if_nothing_had_happened():
    net = named()
    optimizer = optimizer_of(net, CONFIG)
    steps(net, optimizer, 2)
    resumed = copy.deepcopy(net)
    other = optimizer_of(resumed, CONFIG)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in (optimizer, other):
        for group in one.param_groups:
            group["lr"] = 3e-3
    steps(net, optimizer, 2, first=2)
    steps(resumed, other, 2, first=2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), resumed.parameters(), strict=True))


def test_a_name_that_is_no_kernels_is_refused():
    with pytest.raises(TrainingError, match=r"optim\.muon: no kernel is a part of inn or fi"):
        optimizer_of(named(), OptimConfig(muon=("inn", "fi")))


def test_a_kernel_in_another_memory_order_is_refused_and_not_left_as_it_is():
    net = named()
    weight = net["inner"].weight
    weight.data = weight.data.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    with pytest.raises(ValueError, match="neither contiguous nor as channels_last"):
        optimizer_of(net, CONFIG)
