"""What can be done from the keyboard, and how it is called on buttons and in help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """Something that a user can do: title, key as napari writes it, and what for."""

    title: str
    key: str
    tip: str


COMMANDS = {
    "click": Command("Click", "W", "Click on the object; Ctrl-click beside it"),
    "polarity": Command("Positive", "Q", "What the next clicks and scribbles say"),
    "box": Command("Box", "R", "Drag a box around the object"),
    "scribble": Command("Scribble", "S", "Draw along the vessel: its centre line"),
    "lasso": Command("Lasso", "O", "Draw the outline: what is inside is the mask"),
    "paint": Command("Paint", "B", "Paint the mask on the labels; 0 erases"),
    "class": Command("All of its class", "K", "Find everything of the object's class"),
    "absent": Command("Absent", "X", "The object is not on this slice"),
    "first": Command("First", "Home", "The object begins on this slice"),
    "last": Command("Last", "End", "The object ends on this slice"),
    "new": Command("New", "N", "Add an object"),
    "next": Command("Next", "T", "Select the next object"),
    "undo": Command("Undo", "U", "Take the last step back (also Ctrl-Z)"),
    "redo": Command("Redo", "Y", "Do it again (also Ctrl-Shift-Z)"),
    "propagate": Command("Propagate", "G", "Follow all objects through the slices"),
    "cancel": Command("Cancel", "Escape", "Stop after this slice; keep what is done"),
    "lock": Command(
        "Lock", "L", "Verify this slice: nothing overwrites it, the rest follows it"
    ),
    "accept": Command("Accept", "A", "Lock the slice and go to the next doubtful one"),
    "doubtful": Command("Next doubtful", "D", "Go to the slice to look at next"),
    "check": Command("Check", "C", "Follow objects back from their ends and compare"),
    "help": Command("Keys", "F1", "Show all keys"),
}
ALIASES = {"Control-Z": "undo", "Control-Shift-Z": "redo"}


def caption(name: str) -> str:
    """Return what the button of an action says."""
    command = COMMANDS[name]
    return f"{command.title} [{command.key}]"


def help_text() -> str:
    """Return all keys as a table in HTML."""
    rows = "".join(
        f"<tr><td><b>{a.key}</b>&nbsp;&nbsp;</td><td>{a.title}</td>"
        f"<td>&nbsp;&nbsp;{a.tip}</td></tr>"
        for a in COMMANDS.values()
    )
    return f"<table>{rows}</table>"
