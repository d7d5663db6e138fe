"""The one training loop: progress, history, checkpoints and exact resume, a clear stop when the loss is no number."""

from course_lib.training.adamw import adamw
from course_lib.training.checkpoint import CheckpointError
from course_lib.training.early_stop import EarlyStop
from course_lib.training.gradient import GradientStep
from course_lib.training.history import History
from course_lib.training.loop import TrainingDiverged, Update, train
from course_lib.training.muon import Muon, MuonAdamW
from course_lib.training.schedule import warm_up_then_decay

__all__ = [
    "CheckpointError",
    "EarlyStop",
    "GradientStep",
    "History",
    "Muon",
    "MuonAdamW",
    "TrainingDiverged",
    "Update",
    "adamw",
    "train",
    "warm_up_then_decay",
]
