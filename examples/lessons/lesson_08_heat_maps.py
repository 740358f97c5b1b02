"""
Heat maps and deconvolution
===========================

**Question.** A network could give two numbers for a point. Why do most give a whole map?

A map can say "here, or perhaps there", and every place of it is trained. But a map needs resolution, and
networks shrink their pictures on the way. Deconvolution, or transposed convolution, makes them large again.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import crops_to_grey, draw_heatmap, draw_landmarks, resize_points

torch.set_num_threads(1)
data = hybridkp.make_faces(240, random_state=5)
faces = make_crops(data, size_hw=(48, 48))
grey = torch.from_numpy(crops_to_grey(faces.images).astype(np.float32))[:, None] / 255 - 0.5
truth = torch.from_numpy(faces.xy.astype(np.float32))
train, test = torch.arange(0, 180), torch.arange(180, 240)
K = truth.shape[1]

# %%
# Three networks with one body
# ----------------------------
# The body shrinks 48 pixels to 12. The first head goes on to coordinates. The second writes maps of 12 x
# 12. The third doubles the size by a transposed convolution and writes maps of 24 x 24.


def block(inside, outside, step=1):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, step, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


def body():
    return nn.Sequential(block(1, 16, 2), block(16, 24), block(24, 32, 2), block(32, 32), block(32, 32))


def places(n):
    """Where the n cells of a map are in the picture of 48 px."""
    return (torch.arange(n) + 0.5) * 48 / n - 0.5


class Coordinates(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.last = body(), nn.Linear(32 * 36, 2 * K)

    def forward(self, pictures):
        small = nn.functional.avg_pool2d(self.body(pictures), 2)
        return 24 + 10 * self.last(small.flatten(1)).view(-1, K, 2)

    def loss(self, pictures, points):
        return (self(pictures) - points).norm(dim=2).mean()


class Maps(nn.Module):
    def __init__(self, larger):
        super().__init__()
        up = (
            [nn.ConvTranspose2d(32, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()] if larger else []
        )
        self.body, self.last = nn.Sequential(body(), *up), nn.Conv2d(32, K, 1)

    def logs(self, pictures):
        logits = self.last(self.body(pictures))
        return torch.log_softmax(logits.flatten(2), 2).view_as(logits)

    def maps(self, pictures):
        return self.logs(pictures).exp()

    def forward(self, pictures):
        """The mean place of each map, in px of the picture: never just the brightest cell."""
        maps = self.maps(pictures)
        axis = places(maps.shape[-1])
        return torch.stack([maps.sum(2) @ axis, maps.sum(3) @ axis], 2)

    def loss(self, pictures, points):
        """Cross-entropy: the map should be a small hill on the truth. And its mean should lie there."""
        logs = self.logs(pictures)
        axis = places(logs.shape[-1])
        width = 0.8 * 48 / len(axis)
        hill = [torch.exp(-((axis - points[..., i : i + 1]) ** 2) / (2 * width**2)) for i in (0, 1)]
        hill = hill[1][..., :, None] * hill[0][..., None, :]
        hill = hill / hill.sum((2, 3), keepdim=True)
        mean = torch.stack([logs.exp().sum(2) @ axis, logs.exp().sum(3) @ axis], 2)
        return -(hill * logs).sum((2, 3)).mean() + 0.3 * (mean - points).norm(dim=2).mean()


def trained(make, epochs=16):
    torch.manual_seed(0)
    net = make()
    steps = epochs * -(-len(train) // 20)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(20):
            loss = net.loss(grey[batch], truth[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


makers = {
    "coordinates": Coordinates,
    "maps, 12 x 12": lambda: Maps(False),
    "maps, 24 x 24": lambda: Maps(True),
}
nets = {name: trained(make) for name, make in makers.items()}
with torch.no_grad():
    errors = {name: (net(grey[test]) - truth[test]).norm(dim=2).numpy() for name, net in nets.items()}
for name, off in errors.items():
    weights = sum(p.numel() for p in nets[name].parameters())
    print(f"{name:14s} {off.mean():.2f} px off on average, {weights} weights")

# %%
# The maps, sharper with deconvolution; all landmarks of one face, each map scaled to its own peak.

b = 3
large = np.repeat(np.repeat(faces.images[180 + b], 6, 0), 6, 1)
_, axes = plt.subplots(1, 3, figsize=(10, 3.6))
with torch.no_grad():
    for ax, (name, net) in zip(axes, nets.items(), strict=True):
        drawn = (
            large
            if name == "coordinates"
            else draw_heatmap(large, net.maps(grey[test[b : b + 1]])[0].numpy())
        )
        found = resize_points(net(grey[test[b : b + 1]])[0].numpy(), 6)
        ax.imshow(draw_landmarks(drawn, found, truth=resize_points(faces.xy[180 + b], 6))[..., ::-1])
        ax.set_title(f"{name}: {errors[name][b].mean():.2f} px", fontsize=10)
        ax.set_axis_off()
plt.tight_layout()

# %%
# What a transposed convolution does
# ----------------------------------
# Each cell of the small map stamps the kernel onto the large one. Where stamps overlap unevenly, as with a
# kernel of 3 and a step of 2, a flat map becomes a chessboard. A kernel of 4 overlaps evenly.

_, axes = plt.subplots(1, 2, figsize=(6, 2.8))
flat = torch.ones(1, 1, 8, 8)
for ax, size in zip(axes, (3, 4), strict=True):
    stamp = nn.functional.conv_transpose2d(flat, torch.ones(1, 1, size, size), stride=2, padding=1)[0, 0]
    ax.imshow(stamp[2:-2, 2:-2].numpy(), cmap="gray", vmin=0, vmax=5)
    ax.set_title(f"kernel {size}, step 2", fontsize=10)
    ax.set_axis_off()
plt.tight_layout()

# %%
# Exercise
# --------
# Reading only the brightest cell of a map throws away what is between the cells. How much does that cost on
# each of the two maps?

# %%
# A solution
# ----------
# About a quarter of a cell in each direction at best. The coarser the map, the more it costs.

with torch.no_grad():
    for name, net in list(nets.items())[1:]:
        maps = net.maps(grey[test])
        n = maps.shape[-1]
        best = maps.flatten(2).argmax(2)
        cells = torch.stack([places(n)[best % n], places(n)[best // n]], 2)
        off = (cells - truth[test]).norm(dim=2).mean()
        print(f"{name}: brightest cell {off:.2f} px, mean place {errors[name].mean():.2f} px")
