"""DataLoader: a pipeline as pure functions of a state, for jit and scan, and as a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from pyloader.deliver import Closing
from pyloader.jax.host import own_errors
from pyloader.jax.source import PyTree, Source, SourceTransform, as_source, is_source, stages
from pyloader.jax.state import LoaderState, is_traced, json_from_state, state_from_json
from pyloader.jax.transforms.mapping import Elementwise

__all__ = ["DataLoader", "LoaderIterator"]

Body: TypeAlias = Callable[[PyTree, PyTree, Any], tuple[PyTree, PyTree]]  # carry, batch, mask -> carry, output


class DataLoader(Closing):
    """A pipeline: a source, then transforms, each made of the one before.

    `next` and `scan_epoch` are pure functions of a state, a dict of plain arrays: under jit they become part of your
    compiled step; called outside they compile themselves, once.  `iterate` is the loop for everything else, and moves
    the state that it is given.

    Args:
      pipeline: A source, or a list: a source, then stages that are called with what they stand on and return a source.

    Attributes:
      steps_per_epoch: How many batches an epoch has.

    Raises:
      ValueError: an empty list.
      TypeError: a head that is no source, or a stage that does not make one.
    """

    def __init__(self, pipeline: Source | Sequence[Any]) -> None:
        source = _composed(pipeline)
        has_dict = isinstance(jax.eval_shape(lambda: source.init_state(jax.random.key(0))), dict)
        self._source = source if has_dict else _InDict(source)
        self.steps_per_epoch = self._source.steps_per_epoch
        self._stages = stages(self._source)
        *transforms, head = self._stages
        self._transforms: list[Any] = transforms
        self._head: Any = head
        # What stands on the head is a function of its elements alone: these may come in blocks, or from outside of jit.
        plain = all(isinstance(stage, Elementwise) for stage in self._transforms)
        self._is_fed_by_host = plain and head.next_on_host is not None
        self._block_steps = min(head.block_steps, self.steps_per_epoch) if plain else 1
        compiled = transforms if self._is_fed_by_host else self._stages
        self._waits_for_host = any(stage.host_calls is not None for stage in compiled)
        self._has_host_calls = any(stage.host_calls is not None for stage in self._stages)
        self._finished = jax.jit(self._transform)
        self._compiled_next = jax.jit(self._source.next)
        self._compiled_epoch = jax.jit(self._epoch, static_argnames=("body_fn", "unroll"))

    def __repr__(self) -> str:
        return f"DataLoader([{self._source!r}])"

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of a batch, a tree of jax.ShapeDtypeStruct."""
        return self._source.element_spec()

    def init_state(self, key: Any) -> LoaderState:
        """Return the state before the first batch.

        Args:
          key: A key of jax.random, or an integer seed >= 0: what shuffles and draws are derived from.
        """
        state: LoaderState = self._source.init_state(key)
        return state

    @cached_property
    def next(self) -> Callable[[LoaderState], tuple[PyTree, LoaderState, Any]]:
        """`next(state)` returns (batch, state after it, mask).

        It leaves `state` as it is.  It is one function object for the life of the loader, so that
        `jax.jit(loader.next)` compiles once.
        """

        def next(state: LoaderState) -> tuple[PyTree, LoaderState, Any]:
            if is_traced(state):
                batch, mask, state = self._source.next(state)
                return batch, state, mask
            with self.own_errors():
                if self._is_fed_by_host and not is_traced(jnp.uint32(0)):  # under jit numbers are traced, too
                    batch, mask, state = self._head.next_on_host(state)
                    answer = (*self._finished(batch, mask), state)
                else:
                    answer = self._compiled_next(state)
                if self._waits_for_host and not is_traced(answer):  # an error there is known when its answer is
                    jax.block_until_ready(answer)
            batch, mask, state = answer
            return batch, state, mask

        return next

    def iterate(self, state: LoaderState, *, steps: int | None = None) -> LoaderIterator:
        """Return an iterator over (batch, mask), which moves `state` along: it always stands after the latest batch.

        So the next `iterate(state)` goes on with the next epoch, in another order, and a state saved within the loop
        is the right one.  To walk the same batches twice, give it a copy, `dict(state)`, each time.

        Args:
          state: Where to begin.
          steps: How many batches; None is an epoch.

        Raises:
          ValueError: `steps` is below 0.
        """
        if steps is not None and steps < 0:
            raise ValueError(f"steps must be at least 0, or None for an epoch, got {steps}")
        return LoaderIterator(self, state, self.steps_per_epoch if steps is None else steps)

    def scan_epoch(
        self, state: LoaderState, carry: PyTree, body_fn: Body, unroll: bool | int = False
    ) -> tuple[LoaderState, PyTree, PyTree]:
        """Run `body_fn` over an epoch's batches in one `jax.lax.scan`.

        Outside jit it is compiled when first called with a `body_fn`, and again for another one: define it once,
        outside your loop.

        Args:
          state: Where to begin.
          carry: What goes from batch to batch: parameters, an optimiser's state.
          body_fn: (carry, batch, mask) -> (carry, output).
          unroll: As for jax.lax.scan.

        Returns:
          (state, carry, outputs), the outputs of all batches stacked.
        """
        if is_traced((state, carry)):
            return self._epoch(state, carry, body_fn=body_fn, unroll=unroll)
        with self.own_errors():
            answer: tuple[LoaderState, PyTree, PyTree] = self._compiled_epoch(
                state, carry, body_fn=body_fn, unroll=unroll
            )
            if self._has_host_calls and not is_traced(answer):
                jax.block_until_ready(answer)
        return answer

    def state_dict(self, state: LoaderState) -> dict[str, Any]:
        """Return `state` as JSON, with what is needed to know it again; of a ChunkSource its loader's state, too."""
        return json_from_state(self._source, state)

    def load_state_dict(self, saved: dict[str, Any]) -> LoaderState:
        """Return the state that `state_dict` saved; the next batch is the one that came after it.

        Raises:
          StateError: it was saved from another pipeline, over other data, or in another order.
        """
        return state_from_json(self._source, saved)

    def own_errors(self) -> AbstractContextManager[None]:
        """Return a `with` in which an error in reading arrives as itself.

        `next`, `iterate` and `scan_epoch` do that themselves.  Around a jitted function of your own, JAX would make
        a JaxRuntimeError of it: `with loader.own_errors(): jax.block_until_ready(train_epoch(...))`.
        """
        return own_errors(lambda: [call for stage in self._stages for call in stage.host_calls or ()])

    def close(self) -> None:
        """End the threads that read ahead, where there are any."""
        for stage in self._stages:
            stage.close()

    def _transform(self, element: PyTree, mask: Any) -> tuple[PyTree, Any]:
        """Return what the transforms make of an element of the head."""
        for transform in reversed(self._transforms):
            element, mask = transform.apply(element, mask)
        return element, mask

    def _epoch(
        self, state: LoaderState, carry: PyTree, *, body_fn: Body, unroll: bool | int
    ) -> tuple[LoaderState, PyTree, PyTree]:
        if self._block_steps > 1:
            return self._epoch_in_blocks(state, carry, body_fn=body_fn, unroll=unroll)

        def body(loop: tuple[LoaderState, PyTree], _: None) -> tuple[tuple[LoaderState, PyTree], PyTree]:
            batch, mask, state = self._source.next(loop[0])
            carry, output = body_fn(loop[1], batch, mask)
            return (state, carry), output

        (state, carry), outputs = jax.lax.scan(body, (state, carry), length=self.steps_per_epoch, unroll=unroll)
        return state, carry, outputs

    def _epoch_in_blocks(
        self, state: LoaderState, carry: PyTree, *, body_fn: Body, unroll: bool | int
    ) -> tuple[LoaderState, PyTree, PyTree]:
        """Do the same with one call to the host for several steps: such calls cost more than many a batch."""

        def step(carry: PyTree, given: tuple[PyTree, Any]) -> tuple[PyTree, PyTree]:
            return body_fn(carry, *self._transform(*given))

        def block(count: int) -> Callable[..., Any]:
            def body(loop: tuple[LoaderState, PyTree], _: None) -> tuple[tuple[LoaderState, PyTree], PyTree]:
                batches, masks, state = self._head.next_block(loop[0], count)
                carry, outputs = jax.lax.scan(step, loop[1], (batches, masks), unroll=unroll)
                return (state, carry), outputs

            return body

        num_blocks, rest = divmod(self.steps_per_epoch, self._block_steps)
        loop, outputs = jax.lax.scan(block(self._block_steps), (state, carry), length=num_blocks)
        outputs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)
        if rest:
            loop, more = block(rest)(loop, None)
            outputs = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), outputs, more)
        return *loop, outputs


class LoaderIterator(Iterator[tuple[PyTree, Any]]):
    """The batches of `DataLoader.iterate`: (batch, mask).

    Attributes:
      state: The state that was given, moved along.
    """

    def __init__(self, loader: DataLoader, state: LoaderState, steps: int) -> None:
        self._loader, self.state, self._left = loader, state, steps

    def __next__(self) -> tuple[PyTree, Any]:
        if self._left == 0:
            raise StopIteration
        batch, after, mask = self._loader.next(self.state)
        self._left -= 1
        self.state.update(after)
        return batch, mask

    def __len__(self) -> int:
        return self._left


class _InDict(SourceTransform):
    """A source of somebody else's whose state is no dict: `iterate` needs one, to move it along."""

    def __init__(self, inner: Source) -> None:
        self.inner, self.steps_per_epoch = inner, inner.steps_per_epoch

    def __repr__(self) -> str:
        return repr(self.inner)

    def element_spec(self) -> PyTree:
        return self.inner.element_spec()

    def init_state(self, key: Any) -> LoaderState:
        return {"inner": self.inner.init_state(key)}

    def next(self, state: LoaderState) -> tuple[PyTree, Any, LoaderState]:
        element, mask, inner_state = self.inner.next(state["inner"])
        return element, mask, {"inner": inner_state}


def _composed(pipeline: Source | Sequence[Any]) -> Source:
    if is_source(pipeline):
        return as_source(pipeline)
    if not isinstance(pipeline, Sequence):
        raise TypeError(f"pipeline must be a source, or a list of a source and transforms, got {pipeline!r}")
    if not pipeline:
        raise ValueError("pipeline must have at least a source, got an empty list")
    source, *transforms = pipeline
    if not is_source(source):
        raise TypeError(f"pipeline must begin with a source, such as ArraySource(data), got {source!r}")
    for transform in transforms:
        made = transform.__radd__(source) if hasattr(transform, "__radd__") else NotImplemented
        if made is NotImplemented:
            if not callable(transform):
                raise TypeError(f"a stage after the source must be a transform, got {transform!r}")
            made = transform(source)
        if not is_source(made):
            raise TypeError(f"{transform!r} made {made!r} of a source, which is no source")
        source = made
    return as_source(source)
