"""The command `course`, run in this process."""

from click.testing import CliRunner, Result

from course_lib import cli


def course(*arguments) -> Result:
    """What `course ...` did; it must end without a traceback."""
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def assert_refused(result: Result, said: str) -> None:
    """Nothing ran, and one line says why."""
    assert result.exit_code == 2, result.output
    assert said in result.stderr and result.stderr.count("\n") == 1, result.stderr
