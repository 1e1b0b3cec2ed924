"""The image example: its weights know digits that they were not trained on, and training makes such weights again."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilu import RequestError, testing

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "image_classification"
EXAMPLE = FOLDER / "app.py"
SEVEN = base64.b64encode((FOLDER / "seven.png").read_bytes()).decode()


@pytest.fixture(scope="module")
def digits() -> Iterator[testing.Client]:
    for package in ("torch", "PIL", "sklearn"):
        pytest.importorskip(package)
    with testing.client(EXAMPLE, slo_ms=60_000) as client:  # a busy machine is no reason to refuse what is asked here
        yield client


def unseen(count: int) -> tuple[list[str], list[int]]:
    """Images that training leaves out, as PNGs in Base64, and the digits that they show."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    files = []
    for image in data.images[-count:]:
        file = io.BytesIO()
        Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).save(file, "png")
        files.append(base64.b64encode(file.getvalue()).decode())
    return files, data.target[-count:].tolist()


@pytest.mark.slow
def test_the_picture_beside_it_is_a_seven(digits: testing.Client) -> None:
    verdict = digits.call(SEVEN)
    assert verdict["digit"] == 7
    assert verdict["probability"] > 0.9


@pytest.mark.slow
def test_digits_that_it_never_saw_are_known(digits: testing.Client) -> None:
    files, shown = unseen(100)
    found = digits.call_many(files[:50]) + digits.call_many(files[50:])
    right = sum(verdict["digit"] == digit for verdict, digit in zip(found, shown, strict=True))
    assert right >= 90


@pytest.mark.slow
def test_a_file_that_is_no_image_fails_alone(digits: testing.Client) -> None:
    seven, text, nothing = digits.call_many([SEVEN, base64.b64encode(b"hello").decode(), ""])
    assert seven["digit"] == 7
    for error in (text, nothing):
        assert isinstance(error, RequestError)
        assert (error.status, error.field) == (422, "$")


@pytest.mark.slow
def test_training_makes_weights_that_are_served(tmp_path: Path, digits: testing.Client) -> None:
    run = [sys.executable, "-m", "dilu", "run", str(EXAMPLE), "--stats-port", "0", "--steps", "200"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    (weights,) = tmp_path.glob("checkpoints/train-digits/*-iteration-200/digits.pt")
    served = "import sys; from dilu import testing; c = testing.client(sys.argv[1]).__enter__()"
    served += "; print(c.call(sys.argv[2])['digit']); c.__exit__(None, None, None)"
    answer = subprocess.run(
        [sys.executable, "-c", served, str(EXAMPLE), SEVEN],
        env={**os.environ, "DIGITS_WEIGHTS": str(weights)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == "7"
