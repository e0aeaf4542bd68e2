"""GymnaxSource: transitions of an environment, with the policy's state in the loader's."""

import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.jax import (  # noqa: E402
    BatchTransform,
    DataLoader,
    GymnaxSource,
    set_loader_policy_state,
    set_source_policy_state,
)

pytestmark = pytest.mark.frameworks


class Counting:
    """An environment with Gymnax's methods: counts up by the action, and is done at 5."""

    def reset(self, key, params):
        return jnp.zeros(1), {"count": jnp.float32(0)}

    def step(self, key, env_state, action, params):
        count = env_state["count"] + action * params
        done = count >= 5
        return count[None], {"count": count}, action, done, {"discount": 1.0 - done}


def act(observation, policy_state, new_episode, key):
    steps = jnp.where(new_episode, 0, policy_state["steps"]) + 1
    return policy_state["action"], {**policy_state, "steps": steps}


POLICY = {"action": jnp.float32(2), "steps": jnp.int32(0)}


def make_source(steps_per_epoch=8):
    return GymnaxSource(Counting(), 1.0, act, policy_state_template=POLICY, steps_per_epoch=steps_per_epoch)


def test_episodes_end_and_begin_again_also_with_an_epoch():
    loader = DataLoader([make_source(), BatchTransform(4)])
    assert loader.steps_per_epoch == 2
    state = set_loader_policy_state(loader.init_state(jax.random.key(0)), POLICY)
    batches = [batch for batch, _ in loader.iterate(state, steps=4)]
    line = jnp.concatenate([batch["state"][:, 0] for batch in batches]).tolist()
    assert line == [0, 2, 4, 0, 2, 4, 0, 2] * 2
    assert jnp.concatenate([batch["next_state"][:, 0] for batch in batches]).tolist() == [2, 4, 6, 2, 4, 6, 2, 4] * 2
    assert batches[0]["done"].tolist() == [False, False, True, False]
    assert set(batches[0]) == {"state", "action", "reward", "next_state", "done", "info"}


def test_a_new_policy_acts_from_the_next_step_on():
    loader = DataLoader([make_source(), BatchTransform(2)])
    state = set_loader_policy_state(loader.init_state(0), POLICY)
    step = jax.jit(loader.next)
    _, state, _ = step(state)
    state = set_loader_policy_state(state, {**POLICY, "action": jnp.float32(1)})
    batch, state, mask = step(state)
    assert batch["action"].tolist() == [1, 1]
    assert mask.tolist() == [True, True]


def test_the_policy_hears_where_episodes_begin():
    source = make_source()
    state = set_source_policy_state(source.init_state(0), POLICY)
    heard = []
    for _ in range(5):
        _, _, state = source.next(state)
        heard.append(int(state["policy_state"]["steps"]))
    assert heard == [1, 2, 3, 1, 2]
    state = set_source_policy_state(state, state["policy_state"], new_episode=True)
    assert int(source.next(state)[2]["policy_state"]["steps"]) == 1


def test_without_a_policy_it_says_what_to_write():
    loader = DataLoader([make_source(), BatchTransform(4)])
    with pytest.raises(ValueError, match=r"state = set_loader_policy_state\(state, policy_state\)"):
        loader.next(loader.init_state(0))
    with pytest.raises(TypeError, match="does not begin with a GymnaxSource"):
        set_loader_policy_state({"inner": {"key": 0}}, POLICY)


def test_what_makes_no_source_is_refused():
    with pytest.raises(ValueError, match="policy_state_template"):
        GymnaxSource(Counting(), 1.0, act)
    with pytest.raises(ValueError, match="steps_per_epoch must be at least 1"):
        make_source(0)


class Resetting(Counting):
    """As gymnax 1.x: six values, resets by itself, and says what the last observation was."""

    def step(self, key, env_state, action, params):
        observation, env_state, reward, terminated, info = super().step(key, env_state, action, params)
        truncated = jnp.array(False)
        info = {**info, "final_observation": observation}
        observation = jnp.where(terminated, 100.0, observation)  # its reset begins elsewhere, so that it can be told
        return observation, {"count": observation[0] % 100}, reward, terminated, truncated, info


def test_an_environment_that_resets_by_itself_is_not_reset_once_more():
    source = GymnaxSource(Resetting(), 1.0, act, policy_state_template=POLICY, steps_per_epoch=8)
    state = set_source_policy_state(source.init_state(0), POLICY)
    found = []
    for _ in range(9):
        transition, _, state = source.next(state)
        found.append(transition)
    assert [float(each["state"][0]) for each in found] == [0, 2, 4, 100, 2, 4, 100, 2, 0]  # and an epoch's end
    assert [float(each["next_state"][0]) for each in found][:4] == [2, 4, 6, 2]
    assert [bool(each["done"]) for each in found] == [bool(each["terminated"]) for each in found]
    assert set(found[0]) == {"state", "action", "reward", "next_state", "done", "terminated", "truncated", "info"}


def test_a_step_of_another_number_of_values_is_refused():
    class Four(Counting):
        def step(self, key, env_state, action, params):
            observation, env_state, reward, _, info = super().step(key, env_state, action, params)
            return observation, env_state, reward, info

    with pytest.raises(ValueError, match=r"Four.step returned 4 values; it must return \(observation, env_state"):
        GymnaxSource(Four(), 1.0, act, policy_state_template=POLICY)
