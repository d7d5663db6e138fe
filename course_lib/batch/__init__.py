"""Running lessons from the command line: plan, run, report."""
