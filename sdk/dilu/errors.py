"""The errors that Dilu raises.

* DiluError
  * ConfigError         a spec, a file or a flag is invalid
    * FieldError        one of its values is, with the key and the rule (in `dilu.spec`)
  * LoadError           a function's module or handler cannot be loaded
  * TrainingFailedError a training run failed in its own code or on the disk (in `dilu.trainer`)
  * RequestError        a request cannot be answered; carries the HTTP status
    * ItemError         one item of a batch cannot be answered; raised or returned by handlers
"""

from __future__ import annotations


class DiluError(Exception):
    """The base class of all errors of Dilu."""


class ConfigError(DiluError, ValueError):
    """A configuration is invalid. The message names the key, the value seen and the rule."""


class LoadError(DiluError):
    """A function's module or handler cannot be loaded. The message names the file and the line where known."""


class RequestError(DiluError):
    """A request cannot be answered.

    `status` is the HTTP status (400..599), `code` a stable short word for programs, `field` the JSON path of the
    invalid value (`$[0].text`), `retry_after_s` a whole number of seconds, `refused` the reason if the request was
    refused before any of it was executed (then it is safe to send it elsewhere).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        refused: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.retry_after_s = retry_after_s
        self.refused = refused


class ItemError(RequestError):
    """One item cannot be answered; a handler raises it, or returns it in place of that item's result.

    Only the request with that item fails, with HTTP `status` (400..599); the rest of the batch is answered.

        def predict(self, texts: list[str]) -> list[list[float] | dilu.ItemError]:
            return [embed(text) if text else dilu.ItemError("the text is empty", field="$") for text in texts]
    """

    def __init__(self, message: str, *, status: int = 422, code: str = "bad-item", field: str | None = None) -> None:
        if not 400 <= status <= 599:
            raise ConfigError(f"ItemError: status = {status}, must be an HTTP error, 400..599")
        super().__init__(status, code, message, field=field)
