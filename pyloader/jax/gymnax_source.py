"""GymnaxSource: the transitions of a Gymnax environment, made by a policy inside jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pyloader.jax.order import key_words
from pyloader.jax.source import PyTree
from pyloader.options import checked_integer

__all__ = ["GymnaxSource", "set_loader_policy_state", "set_source_policy_state"]


class GymnaxSource:
    """Transitions of an environment: {"state", "action", "reward", "next_state", "done", "info"}.

    An epoch is `steps_per_epoch` steps of the environment, which is reset when an episode is done, and at the end of
    an epoch.  Anything with Gymnax's two methods will do: `reset(key, params) -> (observation, env_state)` and
    `step(key, env_state, action, params) -> (observation, env_state, reward, done, info)`.

    The policy's state (its parameters, recurrent states) is part of the loader's state: put it there before the first
    step, and after each update, with `set_loader_policy_state`.

    Args:
      env: The environment.
      env_params: Its parameters.
      policy_step_fn: (observation, policy_state, new_episode, key) -> (action, policy_state).
      policy_state_template: A policy state of the right shapes; only these are used.
      steps_per_epoch: Steps of the environment in an epoch.

    Raises:
      ValueError: no `policy_state_template`, or an epoch without a step; at the first step: no policy state yet.
    """

    def __init__(
        self,
        env: Any,
        env_params: Any,
        policy_step_fn: Callable[[PyTree, PyTree, Any, Any], tuple[PyTree, PyTree]],
        policy_state_template: PyTree | None = None,
        steps_per_epoch: int = 1024,
    ) -> None:
        if policy_state_template is None:
            raise ValueError("GymnaxSource needs policy_state_template: a policy state of the right shapes")
        self.steps_per_epoch = checked_integer("steps_per_epoch", steps_per_epoch, at_least=1)
        self._env, self._params, self._act = env, env_params, policy_step_fn

        def one_step(policy_state: PyTree) -> PyTree:
            return self.next({**self.init_state(0), "policy_state": policy_state})[0]

        self._spec = jax.eval_shape(one_step, policy_state_template)

    def __repr__(self) -> str:
        return f"GymnaxSource({type(self._env).__name__}, steps_per_epoch={self.steps_per_epoch})"

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of a transition."""
        return self._spec

    def init_state(self, key: Any) -> dict[str, Any]:
        """Return the state before the first step; its "policy_state" is None until you put one there."""
        mine, reset_key = jax.random.split(_key(key_words(key)))
        observation, env_state = self._env.reset(reset_key, self._params)
        return {
            "env_state": env_state,
            "observation": observation,
            "key": jax.random.key_data(mine),
            "step": jnp.uint32(0),
            "epoch": jnp.uint32(0),
            "policy_state": None,
            "new_episode": jnp.array(True),
        }

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next transition, True, and the state after it."""
        if state["policy_state"] is None:
            raise ValueError(
                "the policy has no state yet. Write before the first step: "
                "state = set_loader_policy_state(state, policy_state)"
            )
        key, policy_key, step_key, reset_key = jax.random.split(_key(state["key"]), 4)
        observation = state["observation"]
        action, policy_state = self._act(observation, state["policy_state"], state["new_episode"], policy_key)
        next_observation, env_state, reward, done, info = self._env.step(
            step_key, state["env_state"], action, self._params
        )
        transition = {
            "state": observation,
            "action": action,
            "reward": reward,
            "next_state": next_observation,
            "done": done,
            "info": info,
        }
        ends_epoch = state["step"] + 1 >= self.steps_per_epoch
        begins = jnp.reshape(jnp.asarray(done, bool), ()) | ends_epoch
        fresh = self._env.reset(reset_key, self._params)
        going_on = (next_observation, env_state)
        observation, env_state = jax.tree.map(
            lambda new, old: jnp.where(begins, jnp.asarray(new, jnp.asarray(old).dtype), old), fresh, going_on
        )
        return (
            transition,
            jnp.array(True),
            {
                "env_state": env_state,
                "observation": observation,
                "key": jax.random.key_data(key),
                "step": jnp.where(ends_epoch, jnp.uint32(0), jnp.asarray(state["step"]) + jnp.uint32(1)),
                "epoch": jnp.asarray(state["epoch"]) + ends_epoch.astype(jnp.uint32),
                "policy_state": policy_state,
                "new_episode": begins,
            },
        )


def set_loader_policy_state(state: dict[str, Any], policy_state: PyTree, *, new_episode: Any = None) -> dict[str, Any]:
    """Return a loader's state with another policy state.

    Args:
      state: What DataLoader.init_state or DataLoader.next returned.
      policy_state: The policy's parameters, and whatever else it keeps from step to step.
      new_episode: What the policy is told about the next step; unless given, what it would have been told anyway.

    Raises:
      TypeError: nothing in `state` has a policy.
    """
    if "policy_state" in state:
        flag = state["new_episode"] if new_episode is None else jnp.asarray(new_episode, bool)
        return {**state, "policy_state": policy_state, "new_episode": flag}
    if "inner" not in state:
        raise TypeError("this state has no policy: its pipeline does not begin with a GymnaxSource")
    return {**state, "inner": set_loader_policy_state(state["inner"], policy_state, new_episode=new_episode)}


def set_source_policy_state(state: dict[str, Any], policy_state: PyTree, *, new_episode: Any = None) -> dict[str, Any]:
    """Return the state of a GymnaxSource with another policy state: see set_loader_policy_state."""
    return set_loader_policy_state(state, policy_state, new_episode=new_episode)


def _key(words: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
