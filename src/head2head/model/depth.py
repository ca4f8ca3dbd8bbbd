"""Which of an encoder's hidden states are meant, from the number of its layers alone. Imports no torch."""

from __future__ import annotations

from typing import Literal

from head2head.errors import UserError


def hidden_state_number(index: int, num_layers: int) -> int:
    """A hidden state's number in 0..L (0 is the embedding output); a negative index counts from the last.

    Raises:
        UserError: there is no such hidden state.
    """
    number = index + num_layers + 1 if index < 0 else index
    if not 0 <= number <= num_layers:
        raise UserError(
            f"layer {index}: the encoder's hidden states are 0 (embeddings) to {num_layers}, or -1 to "
            f"-{num_layers + 1} from the last"
        )
    return number


def last_layers(n: int | Literal["all"], num_layers: int) -> list[int]:
    """Numbers of the last n transformer layers; "all" is 1 to L, without the embeddings (Devlin et al.
    2019, Table 7).

    Raises:
        UserError: the encoder has fewer layers.
    """
    count = num_layers if n == "all" else n
    if not isinstance(count, int) or not 1 <= count <= num_layers:
        raise UserError(f"head.layers.n={n}: the encoder has {num_layers} layers; give so many at most, or all")
    return list(range(num_layers - count + 1, num_layers + 1))
