"""Our parts as parts of other programs: one module for each, loaded only by those who have that program."""
