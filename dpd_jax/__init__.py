"""Dataset distillation by matching training trajectories: DPD and its family in JAX."""
