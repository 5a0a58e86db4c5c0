"""What a user is told when something goes wrong, one message per error, and what would be better."""

from __future__ import annotations

from esc_plugin import EscError
from esc_plugin.errors import DiskSpaceError

from .texts import html_of


def show_error(error: Exception) -> None:
    """Show an error once: our own ones by their text, unexpected ones with everything that helps to report them."""
    from napari.utils import notifications

    if (text := plain_text(error)) is not None:
        notifications.show_error(text)
    else:
        notifications.notification_manager.receive_error(type(error), error, error.__traceback__)


def plain_text(error: Exception) -> str | None:
    """Return what to tell of an error that needs no traceback, ``None`` of others."""
    if isinstance(error, EscError):
        text = str(error)
        if isinstance(error, DiskSpaceError):
            text = f"{error.problem}. Show it lazily, tick 'Survey by samples', or set TMPDIR to a larger disk."
        return text[:1].upper() + text[1:]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There isn't enough memory. Choose a smaller region, or a file for the result."
    if isinstance(error, OSError):  # a full disk, a folder that can't be written to, a share that went away
        return str(error)
    return None


def problem_text(error: Exception) -> str:
    """Return an error in one line of HTML, for a panel."""
    return html_of(plain_text(error) or f"{type(error).__name__}: {error}")


def advise_async() -> None:
    """Offer to let napari load pixels in the background, unless it does: else its window waits for those that are made."""
    from napari.settings import get_settings
    from napari.utils import notifications

    experimental = get_settings().experimental
    if experimental.async_:
        return
    told = "napari's window waits while pixels are made. It needn't: it can load them in the background."
    action = "Load in the background", lambda *_: setattr(experimental, "async_", True)
    notifications.notification_manager.dispatch(notifications.Notification(told, "info", actions=(action,)))
