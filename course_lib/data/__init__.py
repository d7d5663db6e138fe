"""The course's data: `load("shakespeare")`, `load("my_novel.txt")`; data/README.md describes every set."""

from course_lib.data.catalog import DataSet, datasets, fetch_all, load
from course_lib.data.files import DataError
from course_lib.data.split import Split

__all__ = ["DataError", "DataSet", "Split", "datasets", "fetch_all", "load"]
