# The documentation of the action of this name.
