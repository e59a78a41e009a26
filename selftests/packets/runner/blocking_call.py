# SPDX-License-Identifier: Apache-2.0
"""A call that blocks, on a thread of its own, while the player goes on with the packets that will
let it return. The player waits here until the thread sleeps inside the call, so that what the call
does at once has been done before the next event."""

import threading

from .calls import CallFailed

_LOOK_S = 0.0004  # Between two looks at the thread.
_ASLEEP_LOOKS = 3  # A thread that only waits for the interpreter is asleep once, not three times.
_RETURN_S = 5.0  # Real time for a call to return once everything that it needs has happened.


class BlockingCall:
    def __init__(self, calls, event, backend, due_us):
        self.event = event
        self.due_us = due_us  # When it must return, on the script's clock.
        self.failure = None
        self.ended_us = None
        self._calls = calls
        self._backend = backend
        self._entered = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._entered.wait()
        self.settle()

    def _run(self):
        self._entered.set()
        try:
            self._calls.perform(self.event)
        except CallFailed as failure:
            self.failure = failure
        self.ended_us = self._backend.now_us()
        self._ended.set()

    def _is_asleep(self):
        try:
            with open(f"/proc/self/task/{self._thread.native_id}/stat", encoding="ascii") as file:
                return file.read().rpartition(")")[2].split()[0] == "S"
        except OSError:
            return True

    def settle(self):
        """Returns once the call has returned or sleeps; says whether it has returned."""
        asleep = 0
        while asleep < _ASLEEP_LOOKS:
            if self._ended.wait(_LOOK_S):
                return True
            asleep = asleep + 1 if self._is_asleep() else 0
        return False

    def wait(self):
        """Waits for the return, some seconds of real time; says whether it came."""
        return self._ended.wait(_RETURN_S)
