"""Evaluation protocols of the papers, as values of a config.

A protocol is what differs from `base.get_config().evaluate`. Random real images alone
move by 5 to 7 points between protocols, so a baseline is only comparable with a method
that was evaluated under the same one.
"""

import difflib

from ml_collections import ConfigDict

from dpd_jax.errors import UserError

# MTT, FTD and TESLA: the learned learning rate, batches of 256, DSA.
_MTT: dict[str, object] = {
    "evaluate.epochs": 1001,
    "evaluate.decay_epoch": 502,
    "evaluate.batch_size": 256,
    "evaluate.learning_rate": 0.0,
}
# DC's program trains 301 epochs at a fixed rate, without augmentation.
_DC: dict[str, object] = {
    "evaluate.epochs": 301,
    "evaluate.decay_epoch": 152,
    "evaluate.batch_size": 256,
    "evaluate.learning_rate": 0.01,
    "augment.families": (),
}
PROTOCOLS: dict[str, dict[str, object]] = {
    "mtt": _MTT,
    # DATM, PAD and DPD: as MTT, with batches of 128.
    "datm": _MTT | {"evaluate.batch_size": 128},
    "dc": _DC,
    # DM and DSA: a fixed rate, 1001 epochs, DSA.
    "dm": _MTT | {"evaluate.learning_rate": 0.01},
}


def apply(config: ConfigDict, name: str) -> ConfigDict:
    """A copy of a config with the values of a protocol.

    Raises:
      UserError: for an unknown name.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name.lower(), PROTOCOLS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"protocol {name!r} is unknown.{hint} Known are {', '.join(PROTOCOLS)}.")
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict(PROTOCOLS[name])
    return changed.lock()
