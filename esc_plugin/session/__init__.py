"""Images that are worked on interactively: tasks, what they take and make, and what is kept from one to the next.

It is for doors with a window, and for notebooks. Importing it loads no torch; a task that runs does.
"""
