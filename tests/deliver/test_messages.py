"""Messages: what is cut off is an error, and can be collected."""

from __future__ import annotations

import pytest

from scripts import finished, start_script


@pytest.mark.slow
def test_an_error_amid_a_message_can_be_collected(tmp_path):
    """Collecting a cycle with a memoryview that is in use crashes the interpreter: so in a process of its own."""
    script = """
    import gc, socket, struct
    from pyloader.deliver.messages import receive
    from pyloader.machine.memory import RecycledMemory

    ours, theirs = socket.socketpair()
    theirs.sendall(struct.pack("=QQQ", 10, 1, 1000) + bytes(10 + 500))  # half of a buffer
    theirs.close()
    try:
        receive(ours, RecycledMemory())
    except EOFError as exc:
        exc.itself = exc
    ours.close()
    gc.collect()
    print("collected")
    """
    assert finished(start_script(tmp_path, script)) == (0, "collected\n", "")
