import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import compilation


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    known = {"xla_backend_optimization_level": 1}
    unknown = {"xla_cpu_use_the_loops_of_another_day": True}
    monkeypatch.setattr(compilation, "CPU_LOOPS", (unknown, known))
    assert compilation.loops.__wrapped__() == known
    monkeypatch.setattr(compilation, "CPU_LOOPS", (unknown,))
    assert compilation.loops.__wrapped__() == {}


@pytest.mark.parametrize("name", [name for option in compilation.CPU_LOOPS for name in option])
def test_what_xla_flags_name_is_left_to_the_user(monkeypatch, name):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_hlo_as_text --{name}=x")
    assert compilation.loops.__wrapped__() == {}


def test_every_alternative_computes_the_same():
    x = jax.random.normal(jax.random.key(0), (64, 65))

    def function(x):
        return jnp.tanh(x - x.mean(0, keepdims=True)) * jax.nn.relu(x)

    expected = np.asarray(jax.jit(function)(x))
    for option in filter(compilation.is_known, compilation.CPU_LOOPS):
        found = jax.jit(function, compiler_options=option)(x)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
