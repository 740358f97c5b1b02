"""
From a convolution by hand to a network
=======================================

**Question.** What does a convolutional network compute, and how far does it see?

A convolution slides a small table of weights over the picture and writes down a weighted sum at every
place. With weights that somebody thought of it finds edges. A network stacks several of them and *learns*
the weights.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import hybridkp
from hybridkp.evaluate import make_crops
from hybridkp.imaging import crops_to_grey, draw_landmarks

torch.manual_seed(0)
torch.set_num_threads(1)
data = hybridkp.make_faces(240, random_state=4)
k = data.landmarks.index("nose_tip")
faces = make_crops(data, size_hw=(48, 48))
grey = torch.from_numpy(crops_to_grey(faces.images).astype(np.float32))[:, None] / 255 - 0.5

# %%
# By hand
# -------
# Two loops over the places of the kernel are enough; the loop over the pixels is in the slices.


def convolve(picture, kernel):
    """Weighted sums of each pixel's neighbours; the border is left out."""
    size = len(kernel)
    h, w = picture.shape[0] - size + 1, picture.shape[1] - size + 1
    out = np.zeros((h, w))
    for i in range(size):
        for j in range(size):
            out += kernel[i, j] * picture[i : i + h, j : j + w]
    return out


edges = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float)  # Sobel: brighter to the right
face = grey[5, 0].numpy().astype(float)
mine = convolve(face, edges)
theirs = F.conv2d(torch.from_numpy(face)[None, None], torch.from_numpy(edges)[None, None])[0, 0].numpy()
print(f"largest difference from torch: {np.abs(mine - theirs).max():.1e}")

# %%
# How far it sees
# ---------------
# One 3 x 3 layer sees 3 pixels, two see 5, three see 7: every layer adds 2. After a step of 2 (a layer that
# keeps every second place) each further layer adds twice as much. Here this *receptive field* is measured:
# which pixels of the picture change one output?


def layers(depth, kernel, stride=1):
    steps, channels = [], 1
    for i in range(depth):
        steps += [nn.Conv2d(channels, 16, kernel, stride if i == 0 else 1, padding=kernel // 2)]
        steps += [nn.BatchNorm2d(16), nn.ReLU()]
        channels = 16
    return nn.Sequential(*steps)


def field(net):
    """Side of the square of pixels that the middle output depends on."""
    picture = torch.rand(1, 1, 48, 48, requires_grad=True)
    out = net.eval()(picture).sum(1)
    out[0, out.shape[1] // 2, out.shape[2] // 2].backward()
    rows = picture.grad.abs().sum((0, 1, 3)).nonzero()
    return int(rows.max() - rows.min() + 1)


for depth, kernel, stride in ((1, 3, 1), (3, 3, 1), (3, 5, 1), (3, 3, 2), (6, 3, 2)):
    print(f"{depth} x {kernel} x {kernel}, step {stride}: sees {field(layers(depth, kernel, stride))} px")

# %%
# A plain network that finds a nose
# ---------------------------------
# Layers as above, and a last one that writes a map: where is the tip of the nose? The map is trained to be
# a probability, high where the nose is; the point is its mean place. Three nets that differ in how far they
# see:


class Finder(nn.Module):
    def __init__(self, depth, kernel):
        super().__init__()
        self.body, self.last = layers(depth, kernel, stride=2), nn.Conv2d(16, 1, 1)

    def logs(self, pictures):
        """Logarithms of the probabilities of all places, in a row."""
        return torch.log_softmax(self.last(self.body(pictures)).flatten(1), 1)

    def maps(self, pictures):
        return self.logs(pictures).exp().view(-1, 24, 24)

    def forward(self, pictures):
        maps = self.maps(pictures)
        axis = 2 * torch.arange(24) + 0.5  # where the places of the map are in the picture
        return torch.stack([maps.sum(1) @ axis, maps.sum(2) @ axis], 1)


target = torch.from_numpy(faces.xy[:, k].astype(np.float32))
train, test = torch.arange(0, 180), torch.arange(180, 240)


def trained(depth, kernel, epochs=14):
    torch.manual_seed(0)
    net = Finder(depth, kernel)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(20):
            x, y = (target[batch] / 2).long().clamp(0, 23).T
            loss = F.nll_loss(net.logs(grey[batch]), 24 * y + x)  # the place of the map where the nose is
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


nets = {depth: trained(depth, 3) for depth in (1, 3, 6)}
_, axes = plt.subplots(1, 4, figsize=(11, 3.4))
for ax, (depth, net) in zip(axes[:3], nets.items(), strict=True):
    with torch.no_grad():
        error = (net(grey[test]) - target[test]).norm(dim=1).mean().item()
        ax.imshow(net.maps(grey[test[:1]])[0].numpy(), cmap="inferno")
    ax.set_title(
        f"{depth} layers, sees {field(layers(depth, 3, 2))} px:\n{error:.1f} px off on average", fontsize=9
    )
    ax.set_axis_off()
axes[3].imshow(draw_landmarks(faces.images[180], faces.xy[180, k : k + 1])[..., ::-1])
axes[3].set_title("the face", fontsize=9)
axes[3].set_axis_off()
plt.tight_layout()

# %%
# What the first layer has learned
# --------------------------------
# Sixteen tables of 3 x 3 weights. Some are edges, as those that people write by hand.

kernels = nets[3].body[0].weight.detach()[:, 0].numpy()
_, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for ax, kernel in zip(axes.ravel(), kernels, strict=True):
    ax.imshow(kernel, cmap="gray")
    ax.set_axis_off()
plt.tight_layout()

# %%
# Exercise
# --------
# Two ways to see farther: more layers, or larger kernels. Compare three layers of 5 x 5 with six of 3 x 3:
# how far do they see, how many weights do they have, how well do they find noses?

# %%
# A solution
# ----------

for depth, kernel, net in ((3, 5, trained(3, 5)), (6, 3, nets[6])):
    far, weights = field(layers(depth, kernel, 2)), sum(p.numel() for p in net.parameters())
    with torch.no_grad():
        error = (net(grey[test]) - target[test]).norm(dim=1).mean().item()
    print(f"{depth} layers of {kernel} x {kernel}: see {far} px, {weights} weights, {error:.2f} px off")
