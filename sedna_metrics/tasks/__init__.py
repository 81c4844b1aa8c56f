"""What the author of a worker script calls, one file for each kind of task."""
