"""How long a replay waits for a broker that takes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.contracts.errors import UnavailableError

LIMIT_SECONDS = 60.0
"""A broker that restarts is back before; nothing is lost meanwhile, it is sent later."""
STOP_SECONDS = 3.0
"""The same once the user has ended the replay."""
SAID_AFTER_SECONDS = 3.0


@dataclass(slots=True)
class BrokerWait:
    """Decides, while messages wait for the broker, whether to go on waiting.

    >>> BrokerWait().check(seconds=61.0, messages=7)
    Traceback (most recent call last):
    streaming.contracts.errors.UnavailableError: Kafka took none of 7 message(s) for 61 s. ...
    """

    is_down: Callable[[], bool] = lambda: False
    """Whether the broker was taken down and nobody will start it again."""
    say: Callable[[str], None] = lambda text: None
    stopping: bool = False
    """Set when the user ends the replay."""
    _said: bool = field(default=False, init=False)

    def check(self, *, seconds: float, messages: int) -> None:
        """Return to go on waiting.

        Parameters
        ----------
        seconds:
            How long the broker has taken nothing.
        messages:
            How many wait for it.

        Raises
        ------
        UnavailableError
            When waiting has no purpose, with the next command.
        """
        resume = "The same command goes on where this one stopped; no row is lost."
        if self.is_down():
            raise UnavailableError(
                f"The stack was taken down; Kafka has not taken {messages} message(s). Start it "
                f"with `driftline up`. {resume}"
            )
        if seconds >= (STOP_SECONDS if self.stopping else LIMIT_SECONDS):
            raise UnavailableError(
                f"Kafka took none of {messages} message(s) for {seconds:.0f} s. "
                f"`driftline status` shows whether it runs. {resume}"
            )
        if seconds >= SAID_AFTER_SECONDS and not self._said:
            self._said = True
            self.say(f"Kafka takes no messages; waiting for it, at most {LIMIT_SECONDS:.0f} s.")

    def over(self) -> None:
        """The broker takes messages again."""
        if self._said:
            self._said = False
            self.say("Kafka takes messages again.")
