"""The one training loop: progress, history, checkpoints and exact resume, a clear stop when the loss is no number."""

from course_lib.training.checkpoint import CheckpointError
from course_lib.training.early_stop import EarlyStop
from course_lib.training.gradient import GradientStep
from course_lib.training.history import History
from course_lib.training.loop import TrainingDiverged, Update, train

__all__ = ["CheckpointError", "EarlyStop", "GradientStep", "History", "TrainingDiverged", "Update", "train"]
