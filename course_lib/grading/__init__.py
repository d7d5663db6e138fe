"""`course release` and `course grade`: nbgrader's round, with every submission executed in a sandbox of its own.

Outside the sandbox: classroom → release → submissions → autograde (→ sandboxed → sandbox) → marks.
Inside: runner → kernel, with guard and secret in the kernel itself, beside the student's code.
"""
