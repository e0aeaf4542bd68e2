"""GymnaxSource over the real gymnax, 1.x or 0.0.9, whichever is installed: one environment, and several at once."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("gymnax")
import jax.numpy as jnp  # noqa: E402
from gymnax.environments import environment  # noqa: E402
from gymnax.environments.classic_control.cartpole import CartPole  # noqa: E402
from gymnax.wrappers.purerl import FlattenObservationWrapper, LogWrapper  # noqa: E402

from pyloader.jax import BatchTransform, DataLoader, GymnaxSource, set_loader_policy_state  # noqa: E402

pytestmark = pytest.mark.frameworks

IS_OLD = not hasattr(environment.Environment, "is_truncated")
WEIGHTS = jnp.zeros(4)
NUM_ENVS = 3


def act(observation, weights, new_episode, key):
    """Push to the right always: an episode is over after about ten steps."""
    return jnp.ones(observation.shape[:-1], jnp.int32), weights


class Several:
    """As users write it: three environments at once."""

    def __init__(self, env):
        self._env = env
        # gymnax 0.0.9 does not say what the last observation was: there its step without the reset is mapped.
        self._step = env.step_env if IS_OLD else env.step

    def reset(self, key, params):
        return jax.vmap(self._env.reset, (0, None))(jax.random.split(key, NUM_ENVS), params)

    def step(self, key, state, action, params):
        keys = jax.random.split(key, NUM_ENVS)
        return jax.vmap(self._step, (0, 0, 0, None))(keys, state, action, params)


def transitions(env, *, num_steps=64, steps_per_epoch=40, params=None):
    """Return the transitions of a run, as NumPy arrays [steps, ...], and what the policy was told of new episodes."""
    params = CartPole().default_params if params is None else params

    def told(observation, policy_state, new_episode, key):
        return act(observation, WEIGHTS, new_episode, key)[0], {"told": jnp.broadcast_to(new_episode, shape)}

    shape = (NUM_ENVS,) if isinstance(env, Several) else ()
    template = {"told": jnp.zeros(shape, bool)}
    source = GymnaxSource(env, params, told, policy_state_template=template, steps_per_epoch=steps_per_epoch)
    state = {**source.init_state(0), "policy_state": template}

    @jax.jit
    def run(state):
        def step(state, _):
            transition, _, state = source.next(state)
            return state, (transition, state["policy_state"]["told"])

        return jax.lax.scan(step, state, None, length=num_steps)[1]

    found, told_of = jax.device_get(run(state))
    assert jax.tree.map(lambda leaf: leaf.shape[1:], found) == jax.tree.map(
        lambda leaf: leaf.shape, source.element_spec()
    )
    return found, told_of


def assert_episodes_are_whole(found, told_of, steps_per_epoch=40):
    """Follow the states of one environment: each goes on where the last ended, or begins a new episode."""
    begins = np.r_[True, found["done"][:-1]]
    begins[steps_per_epoch::steps_per_epoch] = True
    np.testing.assert_array_equal(told_of, begins)
    fresh = np.abs(found["state"]).max(axis=1) <= 0.05
    np.testing.assert_array_equal(fresh[begins], True)
    goes_on = np.flatnonzero(~begins)
    np.testing.assert_allclose(found["next_state"][goes_on - 1], found["state"][goes_on])
    # What the last action led to is beyond the bounds of CartPole, and one small step from where it was.
    assert found["done"].sum() >= 3
    last = found["next_state"][found["done"]]
    assert (np.abs(last[:, 2]) > 12 * 2 * np.pi / 360).all()
    assert (np.abs(last - found["state"][found["done"]])[:, [0, 2]] < 0.1).all()


def test_the_last_next_state_of_an_episode_is_where_it_ended():
    found, told_of = transitions(CartPole())
    assert_episodes_are_whole(found, told_of)
    assert {"terminated", "truncated"} & set(found) == (set() if IS_OLD else {"terminated", "truncated"})


def test_several_environments_end_their_episodes_each_for_itself():
    found, told_of = transitions(Several(CartPole()))
    found.pop("info")
    assert found["done"].shape == (64, NUM_ENVS)
    for number in range(NUM_ENVS):
        assert_episodes_are_whole({name: values[:, number] for name, values in found.items()}, told_of[:, number])
    assert len(np.unique(found["state"][0], axis=0)) == NUM_ENVS


def test_the_loader_itself_can_be_mapped_over_several_states():
    loader = DataLoader([GymnaxSource(CartPole(), CartPole().default_params, act, WEIGHTS, 8), BatchTransform(8)])
    states = jax.vmap(lambda key: set_loader_policy_state(loader.init_state(key), WEIGHTS))(
        jax.random.split(jax.random.key(1), 5)
    )
    batch, _, mask = jax.jit(jax.vmap(loader.next))(states)
    assert batch["next_state"].shape == (5, 8, 4)
    np.testing.assert_allclose(batch["next_state"][:, :-1], batch["state"][:, 1:])
    assert mask.all()


@pytest.mark.skipif(IS_OLD, reason="0.0.9 ends at its time limit without a word")
def test_an_episode_that_is_cut_is_done_and_not_terminated():
    found, _ = transitions(CartPole(), params=CartPole().default_params.replace(max_steps_in_episode=5))
    assert found["truncated"][4]
    assert not found["terminated"].any()
    np.testing.assert_array_equal(found["done"], found["truncated"])
    assert np.abs(found["state"][5]).max() <= 0.05
    assert np.abs(found["next_state"][4]).max() > 0.5  # pushed for five steps, and not begun anew


@pytest.mark.parametrize("wrapper", [LogWrapper, FlattenObservationWrapper])
def test_wrappers_of_gymnax_will_do(wrapper):
    found, told_of = transitions(wrapper(CartPole()))
    if not IS_OLD:
        assert_episodes_are_whole(found, told_of)
    ends = np.flatnonzero(found["done"][:39])
    assert np.abs(found["state"][ends + 1]).max() <= 0.05
    if IS_OLD:  # they reset by themselves, and there is no second reset
        np.testing.assert_allclose(found["next_state"][ends], found["state"][ends + 1])
    if wrapper is LogWrapper:
        np.testing.assert_array_equal(np.diff(np.flatnonzero(found["done"][:39]))[1:] > 5, True)
        lengths = found["info"]["returned_episode_lengths"][ends]
        np.testing.assert_array_equal(lengths, np.diff(np.r_[-1, ends]))
