"""The distillation step as a PyTorch loop, for comparison on the same machine.

    python -m experiments.benchmark_torch --width=128 --steps=10 --batch=10 --json=FILE

The same work as

    python -m experiments.benchmark --config=configs/cifar10_ipc1.py --what=distill_step \\
        --gradient=exact --steps=10

in the way of the released programs: N steps of SGD with `create_graph`, then one backward pass
through all of them; no augmentation, no pruning. It uses a CUDA device if there is one. The
JSON has the fields of `experiments.benchmark`; `temp_bytes` is the growth of the peak memory of
the process (on CUDA, of the allocator) during the first steps. Needs `pip install torch`.
"""

import argparse
import json
import pathlib

from dpd_jax.benchmarks import timing
from dpd_jax.runs import machine

_SIZE, _CHANNELS, _CLASSES, _DEPTH = 32, 3, 10, 3  # of CIFAR-10 and its network


def main() -> None:
    """Parses the flags, times the loop, prints a line and writes the row."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark_torch")
    for name, value, text in (
        ("width", 128, "channels of every block"),
        ("steps", 10, "student steps N"),
        ("batch", 10, "images per student step, which are all images"),
        ("threads", 0, "0 is the default of PyTorch"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=text)
    parser.add_argument("--json", help="the file for the figures")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        parser.error("PyTorch is not installed; only this comparison needs it: pip install torch")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    row = measure(torch, arguments)
    print(
        f"{row['device']}; PyTorch {torch.__version__}, {row['threads']} threads\n"
        f"{row['what']} N = {row['steps']}, batch {row['batch']}, width {row['width']}: "
        f"{row['seconds']:.4g} s (least {row['seconds_least']:.4g}), "
        f"{row['flops'] / 1e9:.1f} GFLOP, {row['fraction_of_matmul']:.2f} of its matrix "
        f"product's {row['matmul_flops_per_second'] / 1e9:.0f} GFLOP/s, "
        f"{row['temp_bytes'] / 2**20:.0f} MiB"
    )
    if arguments.json:
        path = pathlib.Path(arguments.json).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([row], indent=2) + "\n", encoding="utf-8")


def forward_flops(*, size: int, channels: int, width: int, depth: int, classes: int) -> int:
    """Operations of 3x3 convolutions on maps of `size`, size / 2, ..., and of the classifier."""
    total, inputs = 0, channels
    for _ in range(depth):
        total += 2 * size * size * 9 * inputs * width
        size, inputs = size // 2, width
    return total + 2 * size * size * width * classes


def measure(torch, arguments: argparse.Namespace) -> dict:
    """The row of the loop for these shapes."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    torch.manual_seed(0)
    inputs = _random_inputs(torch, arguments, device)
    rows, inner, columns = (8192, 8192, 8192) if cuda else (2560, 1152, 1152)
    left = torch.randn(rows, inner, device=device)
    right = torch.randn(inner, columns, device=device)

    def finished(result):
        if cuda:
            torch.cuda.synchronize()
        return result

    def step():
        return finished(outer_gradient(torch, *inputs, arguments.steps))

    product = timing.Product(lambda: finished(left @ right), (rows, inner, columns))
    memory = torch.cuda.max_memory_allocated if cuda else machine.peak_memory_bytes
    before = memory()
    first = timing.seconds(step)
    step()
    temporary = memory() - before
    shape = {"size": _SIZE, "channels": _CHANNELS, "depth": _DEPTH, "classes": _CLASSES}
    forward = forward_flops(width=arguments.width, **shape)
    row = {
        "what": "distill_step_torch",
        "gradient": "unroll",
        "steps": arguments.steps,
        "batch": arguments.batch,
        "width": arguments.width,
        "flops": 9 * arguments.steps * arguments.batch * forward,
        "augmentation": False,
        "temp_bytes": temporary,
        "compile_seconds": None,
        "first_seconds": first,
        "device": torch.cuda.get_device_name() if cuda else machine.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    [row] = timing.measure([timing.Work(row, step)], product)
    if "error" in row:
        raise SystemExit(f"error: {row['error']}")
    return row | {"noise": product.spread}


def outer_gradient(torch, params, target, images, labels, rate, steps: int):
    """L of a student trained for N steps from `params` towards `target`, and its gradients.

    The set is images [n, c, h, w], label logits [n, k] and a scalar rate; all need gradients.
    """
    functional = torch.nn.functional
    student = params
    for _ in range(steps):
        logits = _apply(functional, student, images)
        loss = functional.cross_entropy(logits, functional.softmax(labels, -1))
        gradients = torch.autograd.grad(loss, student, create_graph=True)
        student = [p - rate * g for p, g in zip(student, gradients, strict=True)]

    def distance(weights):
        return sum((a - b).square().sum() for a, b in zip(weights, target, strict=True))

    matched = distance(student) / distance([p.detach() for p in params])
    return matched.detach(), torch.autograd.grad(matched, [images, labels, rate])


def _random_inputs(torch, arguments: argparse.Namespace, device):
    """Random start weights, a target near them, images, labels and step size."""

    def uniform(*shape, fan_in):
        return (2 * torch.rand(shape, device=device) - 1) * fan_in**-0.5

    params, inputs, size = [], _CHANNELS, _SIZE
    for _ in range(_DEPTH):
        fan_in = 9 * inputs
        params += [
            uniform(arguments.width, inputs, 3, 3, fan_in=fan_in),
            uniform(arguments.width, fan_in=fan_in),
            torch.ones(arguments.width, device=device),
            torch.zeros(arguments.width, device=device),
        ]
        inputs, size = arguments.width, size // 2
    inputs *= size * size
    params += [uniform(_CLASSES, inputs, fan_in=inputs), uniform(_CLASSES, fan_in=inputs)]
    target = [p + 0.01 * torch.randn_like(p) for p in params]
    shape = (arguments.batch, _CHANNELS, _SIZE, _SIZE)
    images = torch.randn(shape, device=device, requires_grad=True)
    classes = torch.arange(arguments.batch, device=device) % _CLASSES
    labels = 10.0 * torch.nn.functional.one_hot(classes, _CLASSES).float()
    rate = torch.tensor(0.01, device=device, requires_grad=True)
    return [p.requires_grad_() for p in params], target, images, labels.requires_grad_(), rate


def _apply(functional, params, images):
    """Logits of the papers' ConvNet: convolution, instance norm, ReLU, average pooling."""
    x = images
    for first in range(0, len(params) - 2, 4):
        kernel, bias, scale, shift = params[first : first + 4]
        x = functional.conv2d(x, kernel, bias, padding=1)
        # One group per channel, as in the released programs.
        x = functional.group_norm(x, x.shape[1], scale, shift)
        x = functional.avg_pool2d(functional.relu(x), 2)
    return functional.linear(x.flatten(1), params[-2], params[-1])


if __name__ == "__main__":
    main()
