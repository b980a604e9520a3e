"""DPD, Table 4: pruning added to MTT, TESLA and FTD.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_table4.py --seeds=3

The paper shows CIFAR-10, IPC 1, 10 and 50 (test accuracy, %):

    IPC    MTT   MTT+  TESLA TESLA+    FTD   FTD+
      1  45.60  46.80  48.12  48.60  46.20  46.30
     10  64.50  65.28  65.98  66.78  64.38  65.48
     50  71.20  72.30  71.67  72.50  72.94  73.16

Here TESLA's labels are the logits of one expert. The CIFAR values of its program
belong to hard labels (`--config.synthetic.labels=hard`), which scored higher in all
our measurements (RESULTS.md).
"""

OVER = ({"method": ("mtt", "mtt+", "tesla", "tesla+", "ftd", "ftd+")},)
