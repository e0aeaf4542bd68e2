"""GymnaxSource: the transitions of a Gymnax environment, made by a policy inside jit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pyloader.jax.order import key_of, key_words
from pyloader.jax.source import PyTree, Source
from pyloader.options import checked_integer

__all__ = ["GymnaxSource", "set_loader_policy_state", "set_source_policy_state"]


# Where gymnax says what a step is: it resets by itself, and 0.0.9 does not say what the last observation was.
_GYMNAX_STEP = "gymnax.environments.environment"


class GymnaxSource(Source[dict[str, Any]]):
    """Transitions of an environment: {"state", "action", "reward", "next_state", "done", "info"}.

    An epoch is `steps_per_epoch` steps of the environment, which is reset when an episode is done, and at the end of
    an epoch.  `next_state` is what the action led to, also in the last transition of an episode.

    Gymnax 1.x and 0.0.9 will do, and anything with their two methods: `reset(key, params) -> (observation, env_state)`,
    and `step(key, env_state, action, params) -> (observation, env_state, reward, done, info)` or, with two values in
    place of done, (..., terminated, truncated, info); then the transitions have "terminated" and "truncated" too, and
    are done with either.  A `step` that resets by itself says what the last observation was in
    info["final_observation"]; without it the source resets.  The wrappers of gymnax 0.0.9 reset by themselves and do
    not say so: there the last `next_state` is the next episode's first.

    Several environments at once: a class whose two methods are jax.vmap's of another's.  Then done, and what the policy
    is told of new episodes, have one value for each.

    The policy's state (its parameters, recurrent states) is part of the loader's state: put it there before the first
    step, and after each update, with `set_loader_policy_state`.

    Args:
      env: The environment.
      env_params: Its parameters.
      policy_step_fn: (observation, policy_state, new_episode, key) -> (action, policy_state).
      policy_state_template: A policy state of the right shapes; only these are used.
      steps_per_epoch: Steps of the environment in an epoch.

    Raises:
      ValueError: no `policy_state_template`, or an epoch without a step; `step` returns another number of values; at
        the first step: no policy state yet.
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
        self._resets_itself = _is_wrapped(env)
        home = next((base for base in type(env).__mro__ if "step" in vars(base)), None)
        is_old = home is not None and home.__module__ == _GYMNAX_STEP and not hasattr(env, "is_truncated")
        self._step = env.step_env if is_old else env.step  # 0.0.9's step_env is its step without the reset
        self._episodes: tuple[int, ...] = ()
        self._spec = self._find_spec(policy_state_template)

    def __repr__(self) -> str:
        return f"GymnaxSource({type(self._env).__name__}, steps_per_epoch={self.steps_per_epoch})"

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of a transition."""
        return self._spec

    def init_state(self, key: Any) -> dict[str, Any]:
        """Return the state before the first step; its "policy_state" is None until you put one there."""
        mine, reset_key = jax.random.split(key_of(key_words(key)))
        observation, env_state = self._env.reset(reset_key, self._params)
        return {
            "env_state": env_state,
            "observation": observation,
            "key": jax.random.key_data(mine),
            "step": jnp.uint32(0),
            "epoch": jnp.uint32(0),
            "policy_state": None,
            "new_episode": jnp.ones(self._episodes, bool),
        }

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next transition, True, and the state after it."""
        if state["policy_state"] is None:
            raise ValueError(
                "the policy has no state yet. Write before the first step: "
                "state = set_loader_policy_state(state, policy_state)"
            )
        key, policy_key, step_key, reset_key = jax.random.split(key_of(state["key"]), 4)
        observation = state["observation"]
        action, policy_state = self._act(observation, state["policy_state"], state["new_episode"], policy_key)
        next_observation, env_state, reward, *ends, info = self._step(
            step_key, state["env_state"], action, self._params
        )
        if len(ends) not in (1, 2):
            what = f"{type(self._env).__name__}.step returned {len(ends) + 4} values"
            raise ValueError(f"{what}; it must return (observation, env_state, reward, done, info), or six")
        last_observation = info.get("final_observation") if isinstance(info, dict) else None
        done = ends[0] if len(ends) == 1 else jnp.logical_or(*ends)
        transition = {
            "state": observation,
            "action": action,
            "reward": reward,
            "next_state": next_observation if last_observation is None else last_observation,
            "done": done,
            **(dict(zip(("terminated", "truncated"), ends, strict=True)) if len(ends) == 2 else {}),
            "info": info,
        }
        ends_epoch = state["step"] + 1 >= self.steps_per_epoch
        is_over = jnp.reshape(jnp.asarray(done, bool), self._episodes)
        going_on = (next_observation, env_state)

        def fresh() -> PyTree:
            found = self._env.reset(reset_key, self._params)
            return jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), found, going_on)

        if self._resets_itself or last_observation is not None:
            observation, env_state = jax.lax.cond(ends_epoch, fresh, lambda: jax.tree.map(jnp.asarray, going_on))
        else:
            observation, env_state = jax.tree.map(partial(_chosen, is_over | ends_epoch), fresh(), going_on)
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
                "new_episode": is_over | ends_epoch,
            },
        )

    def _find_spec(self, policy_state: PyTree) -> PyTree:
        """Return the shapes of a transition, and set those of `new_episode`: one value, or one for each environment."""
        observation, _ = jax.eval_shape(lambda: self._env.reset(key_of(key_words(0)), self._params))
        leading = {leaf.shape[:1] for leaf in jax.tree.leaves(observation)}
        problems = []
        for self._episodes in ((), *leading - {()}):
            try:
                return jax.eval_shape(
                    lambda mine: self.next({**self.init_state(0), "policy_state": mine})[0], policy_state
                )
            except Exception as exc:  # there are several environments, or the policy thinks so
                problems.append(exc)
        raise problems[0]


def _is_wrapped(env: Any) -> bool:
    """Tell whether `env` is one of gymnax 0.0.9 within a wrapper, which resets by itself and does not say so."""
    has_step = hasattr(env, "step_env") and not hasattr(type(env), "step_env")
    return has_step and not hasattr(env, "is_truncated")


def _chosen(is_new: Any, new: Any, old: Any) -> Any:
    """Return `new` where `is_new`, which has a value for each environment, and `old` elsewhere."""
    return jnp.where(jnp.reshape(is_new, (*is_new.shape, *[1] * (jnp.ndim(old) - is_new.ndim))), new, old)


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


# The state of a loader holds that of its source as the innermost one, so that the same function does for both.
set_source_policy_state = set_loader_policy_state
