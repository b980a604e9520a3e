"""DPD, Table 4: pruning added to MTT, TESLA and FTD.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_table4.py --seeds=3

The paper has it for CIFAR-10, IPC 1, 10 and 50 (test accuracy, %):

    IPC    MTT   MTT+  TESLA TESLA+    FTD   FTD+
      1  45.60  46.80  48.12  48.60  46.20  46.30
     10  64.50  65.28  65.98  66.78  64.38  65.48
     50  71.20  72.30  71.67  72.50  72.94  73.16

TESLA's labels are the logits of one expert here; the values its program names
for CIFAR go with hard ones, `--config.synthetic.labels=hard`, and score higher in
all that was measured (RESULTS.md).
"""

OVER = ({"method": ("mtt", "mtt+", "tesla", "tesla+", "ftd", "ftd+")},)
