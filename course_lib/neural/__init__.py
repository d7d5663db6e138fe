"""Small neural language models: a bigram, a multi-layer perceptron over a window, recurrent networks."""

from course_lib.neural.bigram import Bigram
from course_lib.neural.language_model import NeuralLanguageModel
from course_lib.neural.mlp import MLP
from course_lib.neural.recurrent import LSTM, RNN, RecurrentLanguageModel, open_forget_gate

__all__ = ["LSTM", "MLP", "RNN", "Bigram", "NeuralLanguageModel", "RecurrentLanguageModel", "open_forget_gate"]
