"""The distillation step as a PyTorch loop, for comparison on the same machine.

    python -m experiments.benchmark_torch --json=FILE
    python -m experiments.benchmark_torch --width=128 --steps=10 --batch=10 --json=FILE

The same work as

    python -m experiments.benchmark --config=configs/cifar10_ipc1.py --what=distill_step \\
        --gradient=exact --steps=10

written as the released programs are: N steps of SGD with `create_graph`, soft
labels, then one backward pass through all of them to images, label logits and
step size. No augmentation, no pruning. The network is functional, which those
programs reach through a wrapper that costs more. On a CUDA device if there is
one. Fields of the JSON are those of `experiments.benchmark`; `temp_bytes` is
how far the process's (on CUDA, the allocator's) memory rose above where it was
before the first step. PyTorch is no dependency of dpd_jax: `pip install torch`.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

from dpd_jax.runs import machine

_BUDGET = 12.0  # seconds,
_LEAST, _MOST = 3, 15  # but at least and at most so many repetitions
_PRODUCTS = 5  # matrix products before each; the first is not timed, the median is the rate


def main() -> None:
    """Parses the flags, times the loop, prints a line and writes the row."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark_torch")
    for name, value, words in (
        ("width", 128, "channels of every block"),
        ("depth", 3, "blocks"),
        ("size", 32, "height and width of the images"),
        ("channels", 3, "of the images"),
        ("classes", 10, ""),
        ("steps", 10, "student steps N"),
        ("batch", 10, "images a student step, all there are"),
        ("threads", 0, "0 leaves it to PyTorch"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=words)
    parser.add_argument("--json", help="the file the figures are written into")
    asked = parser.parse_args()
    try:
        import torch
    except ImportError:
        print(
            "\nerror: PyTorch is not installed; only this comparison needs it: pip install torch",
            file=sys.stderr,
        )
        sys.exit(2)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    row = measure(torch, asked)
    print(
        f"{row['device']}; PyTorch {torch.__version__}, {row['threads']} threads\n"
        f"{row['what']} N = {row['steps']}, batch {row['batch']}, width {row['width']}: "
        f"{row['seconds']:.4g} s (least {row['seconds_least']:.4g}), "
        f"{row['flops'] / 1e9:.1f} GFLOP, {row['fraction_of_matmul']:.2f} of its own matrix "
        f"product's {row['matmul_flops_per_second'] / 1e9:.0f} GFLOP/s, "
        f"{row['temp_bytes'] / 2**20:.0f} MiB"
    )
    if asked.json:
        path = pathlib.Path(asked.json).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([row], indent=2) + "\n", encoding="utf-8")


def forward_flops(*, size: int, channels: int, width: int, depth: int, classes: int) -> int:
    """Operations of one image's way through the network, in closed form.

    3x3 convolutions on maps of `size`, size / 2, ... pixels a side, and the classifier.
    """
    total, inputs = 0, channels
    for _ in range(depth):
        total += 2 * size * size * 9 * inputs * width
        size, inputs = size // 2, width
    return total + 2 * size * size * width * classes


def measure(torch, asked: argparse.Namespace) -> dict:
    """The row of the loop on these shapes."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    torch.manual_seed(0)
    params, target, images, labels, rate = _material(torch, asked, device)
    shape = (8192, 8192, 8192) if cuda else (2560, 1152, 1152)
    left = torch.randn(shape[0], shape[1], device=device)
    right = torch.randn(shape[1], shape[2], device=device)

    def seconds(run) -> float:
        began = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def product() -> float:
        """Operations a second, the median of a few in a row."""
        took = [seconds(lambda: left @ right) for _ in range(_PRODUCTS)]
        return 2 * shape[0] * shape[1] * shape[2] / statistics.median(took[1:])

    def step():
        return outer_gradient(torch, params, target, images, labels, rate, asked.steps)

    product()
    before = _memory(torch, cuda)
    first = seconds(step)
    step()
    temporary = _memory(torch, cuda) - before
    rates, took, began = [], [], time.perf_counter()
    while len(took) < _LEAST or (len(took) < _MOST and time.perf_counter() - began < _BUDGET):
        rates.append(product())
        took.append(seconds(step))

    middle, rate = statistics.median(took), statistics.median(rates)
    forward = forward_flops(
        size=asked.size,
        channels=asked.channels,
        width=asked.width,
        depth=asked.depth,
        classes=asked.classes,
    )
    flops = 9 * asked.steps * asked.batch * forward
    return {
        "what": "distill_step_torch",
        "gradient": "unroll",
        "steps": asked.steps,
        "batch": asked.batch,
        "width": asked.width,
        "flops": flops,
        "augmentation": False,
        "temp_bytes": temporary,
        "compile_seconds": None,
        "first_seconds": first,
        "seconds": middle,
        "seconds_least": min(took),
        "seconds_most": max(took),
        "repetitions": len(took),
        "matmul_flops_per_second": rate,
        "fraction_of_matmul": flops / middle / rate,
        "noise": (max(rates) - min(rates)) / rate,
        "device": torch.cuda.get_device_name() if cuda else machine.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def outer_gradient(torch, params, target, images, labels, rate, steps: int):
    """L of a student trained from `params` for N steps, and its gradient.

    Args:
      torch: the module.
      params, target: weights where the student starts and where it should go, lists of tensors.
      images, labels, rate: the set, [n, c, h, w], logits [n, k] and a scalar; all need gradients.
      steps: N.

    Returns:
      L and the gradients of images, labels and rate.
    """
    functional = torch.nn.functional
    student = params
    for _ in range(steps):
        logits = _apply(functional, student, images)
        loss = functional.cross_entropy(logits, functional.softmax(labels, -1))
        gradients = torch.autograd.grad(loss, student, create_graph=True)
        student = [p - rate * g for p, g in zip(student, gradients, strict=True)]

    def distance(there):
        pairs = zip(there, target, strict=True)
        return sum((a - b).square().sum() for a, b in pairs)

    matched = distance(student) / distance([p.detach() for p in params])
    return matched.detach(), torch.autograd.grad(matched, [images, labels, rate])


def _material(torch, asked: argparse.Namespace, device):
    """Random weights, weights nearby, and a set."""

    def uniform(*shape, fan_in):
        return (2 * torch.rand(shape, device=device) - 1) * fan_in**-0.5

    params, inputs, size = [], asked.channels, asked.size
    for _ in range(asked.depth):
        fan_in = 9 * inputs
        params += [
            uniform(asked.width, inputs, 3, 3, fan_in=fan_in),
            uniform(asked.width, fan_in=fan_in),
            torch.ones(asked.width, device=device),
            torch.zeros(asked.width, device=device),
        ]
        inputs, size = asked.width, size // 2
    inputs *= size * size
    params += [uniform(asked.classes, inputs, fan_in=inputs), uniform(asked.classes, fan_in=inputs)]
    target = [p + 0.01 * torch.randn_like(p) for p in params]
    shape = (asked.batch, asked.channels, asked.size, asked.size)
    images = torch.randn(shape, device=device, requires_grad=True)
    classes = torch.arange(asked.batch, device=device) % asked.classes
    labels = 10.0 * torch.nn.functional.one_hot(classes, asked.classes).float()
    rate = torch.tensor(0.01, device=device, requires_grad=True)
    return [p.requires_grad_() for p in params], target, images, labels.requires_grad_(), rate


def _apply(functional, params, images):
    """Logits of the papers' ConvNet: convolution, instance norm, ReLU, average pooling."""
    x, blocks = images, len(params) // 4
    for block in range(blocks):
        kernel, bias, scale, shift = params[4 * block : 4 * block + 4]
        x = functional.conv2d(x, kernel, bias, padding=1)
        # As in the released programs: a group for each channel.
        x = functional.group_norm(x, x.shape[1], scale, shift)
        x = functional.avg_pool2d(functional.relu(x), 2)
    return functional.linear(x.flatten(1), params[-2], params[-1])


def _memory(torch, cuda: bool) -> int:
    """The most bytes held so far."""
    if cuda:
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
