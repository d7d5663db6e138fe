"""The key–value cache: what attention made of the tokens read so far, with room for those to come."""

from collections.abc import Iterator

import torch
from torch import Tensor


class KeyValueCache:
    """The keys and the values of all that can be looked at, each (B, n_heads, S, d_head).

    A cache never changes: `extended` gives a longer one. Both may share one buffer with spare room at its end, so that
    a token costs what it adds and not, as with `torch.cat`, a copy of all before it; the room doubles when it is used
    up. Where the same cache is continued a second time, the second continuation gets a buffer of its own.
    """

    def __init__(self, key: Tensor, value: Tensor):
        self.key, self.value = key, value
        self._room: tuple[Tensor, Tensor] = (key, value)  # the buffers that key and value begin
        self._used = [len(self)]  # how much of the buffers is taken, shared by all that share them

    def __len__(self) -> int:
        """S, the number of places."""
        return self.key.shape[2]

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.key, self.value))

    def extended(self, key: Tensor, value: Tensor) -> "KeyValueCache":
        """With the keys and values of T more places behind, each (B, n_heads, T, d_head). Raises ValueError for another
        batch (in the buffer one row would be taken for all), number type or device."""
        if key.shape[:2] != self.key.shape[:2]:
            here, there = tuple(self.key.shape), tuple(key.shape)
            raise ValueError(
                f"keys of shape {there} continue a cache of shape {here}: expected the same rows and heads"
            )
        for old, new in zip(self, (key, value), strict=True):
            if (old.dtype, old.device) != (new.dtype, new.device):
                raise ValueError(
                    f"{new.dtype} on {new.device} continues a cache in {old.dtype} on {old.device}: read a text and "
                    "continue it with the same model, both within `autocast` or both outside"
                )
        start, end = len(self), len(self) + key.shape[2]
        if torch.is_grad_enabled():  # a gradient cannot pass through a buffer that is written again
            return KeyValueCache(torch.cat([self.key, key], 2), torch.cat([self.value, value], 2))
        longer = KeyValueCache.__new__(KeyValueCache)
        longer._room, longer._used = self._room, self._used
        full = self._room[0].shape[2] < end
        read_only = self._room[0].is_inference() and not torch.is_inference_mode_enabled()
        if self._used[0] != start or full or read_only:
            longer._room = tuple(_with_room(part, max(end, 2 * start)) for part in self)
            longer._used = [start]
        for room, new in zip(longer._room, (key, value), strict=True):
            room[:, :, start:end] = new
        longer._used[0] = end
        longer.key, longer.value = (room[:, :, :end] for room in longer._room)
        return longer

    def select(self, rows: Tensor) -> "KeyValueCache":
        """These rows of the batch, in this order; rows may repeat."""
        return KeyValueCache(self.key[rows], self.value[rows])


def _with_room(part: Tensor, capacity: int) -> Tensor:
    """A buffer of `capacity` places that begins with `part`."""
    buffer = part.new_empty(*part.shape[:2], capacity, part.shape[3])
    buffer[:, :, : part.shape[2]] = part
    return buffer
