"""The poster's studies at any scale: settings, the queue that trains and evaluates them, the report."""
