"""Handwritten digits: a small convolutional network that is trained here, on real images, and then served.

dilu serve examples/image_classification/app.py          # with digits.pt, which lies beside this file
dilu run examples/image_classification/app.py            # trains it again, in seconds on a CPU

The images are the 1,797 of 8 × 8 pixels that scikit-learn ships (UCI, "Optical Recognition of Handwritten Digits").
No package with weights of a known image model was found that we would want to depend on, so these are our own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import dilu

WEIGHTS = "digits.pt"
EXAMPLE = Path(__file__).with_name("seven.png").read_bytes()
SIDE = 8  # pixels
TRAINED_ON = 1297  # images; the 500 after them are only tested with
BATCH, ITERATIONS = 64, 600


class Verdict(TypedDict):
    """The digit that an image most likely shows."""

    digit: int
    probability: float


def network() -> Any:
    """Return the untrained network: two convolutions and a linear layer, 6,090 parameters."""
    from torch import nn

    first = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * 2 * 2, 10))


@dilu.function(name="digits", slo_ms=100, batch=32, sm_request=200, sm_limit=400, gpu_memory="512Mi", example=EXAMPLE)
class Digits:
    """The digit on a PNG or JPEG: light strokes on dark ground, of any size. In JSON the file is Base64."""

    def load(self) -> None:
        """Load the weights. The imports are here, so that only replicas pay for torch."""
        import torch

        torch.set_num_threads(1)
        self._torch = torch
        self._network = network()
        path = os.environ.get("DIGITS_WEIGHTS", Path(__file__).with_name(WEIGHTS))
        self._network.load_state_dict(torch.load(path, weights_only=True))
        self._network.eval()

    def predict(self, files: list[bytes]) -> list[Verdict | dilu.ItemError]:
        """Classify all images in one pass; a file that is not an image fails alone."""
        pixels = [self._pixels(file) for file in files]
        readable = [one for one in pixels if not isinstance(one, dilu.ItemError)]
        verdicts = iter(self._verdicts(readable) if readable else [])
        return [one if isinstance(one, dilu.ItemError) else next(verdicts) for one in pixels]

    def _verdicts(self, pixels: list[Any]) -> list[Verdict]:
        with self._torch.inference_mode():
            probabilities = self._network(self._torch.stack(pixels)).softmax(1)
        best, digits = probabilities.max(1)
        pairs = zip(digits.tolist(), best.tolist(), strict=True)
        return [Verdict(digit=digit, probability=round(probability, 4)) for digit, probability in pairs]

    def _pixels(self, file: bytes) -> Any:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(file), formats=("png", "jpeg")) as image:
                small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            return dilu.ItemError(f"not a PNG or JPEG that can be read: {type(error).__name__}", field="$")
        return self._torch.tensor(list(small.tobytes()), dtype=self._torch.float32).reshape(1, SIDE, SIDE) / 255.0


@dilu.training(name="train-digits", sm_request=300, sm_limit=800, gpu_memory="1Gi")
class TrainDigits:
    """Trains the network; `digits.pt` in a checkpoint is what `Digits` serves."""

    def load(self) -> None:
        """Create network, optimizer and images."""
        import torch
        from sklearn.datasets import load_digits

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._torch = torch
        self._network = network()
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=3e-3)
        digits = load_digits()
        self._images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
        self._labels = torch.tensor(digits.target)
        self.iteration = 0
        self._accuracy = 0.0

    def steps(self) -> Iterator[dict[str, float]]:
        """Train on one batch, the same one after a resume; report the accuracy on unseen images every hundred."""
        while self.iteration < ITERATIONS:
            chosen = self._torch.randint(
                TRAINED_ON, (BATCH,), generator=self._torch.Generator().manual_seed(self.iteration)
            )
            loss = self._torch.nn.functional.cross_entropy(self._network(self._images[chosen]), self._labels[chosen])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self.iteration += 1
            if self.iteration % 100 == 0:
                self._accuracy = self.accuracy()
            yield {"loss": loss.item(), "accuracy": self._accuracy}

    def checkpoint(self, path: Path) -> None:
        """Save the weights as they are served, and the state that a resumed run needs."""
        self._torch.save(self._network.state_dict(), path / WEIGHTS)
        state = {"iteration": self.iteration, "accuracy": self._accuracy, "optimizer": self._optimizer.state_dict()}
        self._torch.save(state, path / "state.pt")

    def resume(self, path: Path) -> None:
        """Load what `checkpoint` saved."""
        self._network.load_state_dict(self._torch.load(path / WEIGHTS, weights_only=True))
        state = self._torch.load(path / "state.pt", weights_only=True)
        self.iteration, self._accuracy = state["iteration"], state["accuracy"]
        self._optimizer.load_state_dict(state["optimizer"])

    def accuracy(self) -> float:
        """Return the share of the unseen images whose digit is found."""
        with self._torch.inference_mode():
            found = self._network(self._images[TRAINED_ON:]).argmax(1)
        return float((found == self._labels[TRAINED_ON:]).float().mean())
