"""Every error that Dilu raises on purpose.

* DiluError
  * ConfigError         what a person wrote cannot be used: a spec, a file, a flag
    * FieldError        one value of it, with its key and the rule (in `dilu.spec`)
  * LoadError           a function's module or handler cannot be loaded
  * TrainingFailedError a training run was ended by its code or by the disk (in `dilu.trainer`)
  * RequestError        one request cannot be answered as asked; carries its HTTP status
    * ItemError           a handler says so of one item of its batch
"""

from __future__ import annotations


class DiluError(Exception):
    """The root: catch it to catch whatever Dilu raises on purpose."""


class ConfigError(DiluError, ValueError):
    """What a person wrote cannot be used. The message names the key, the value seen and the rule."""


class LoadError(DiluError):
    """A function's module or handler cannot be loaded. The message names the file and the line where known."""


class RequestError(DiluError):
    """One request cannot be answered as asked.

    `status` is the HTTP status (400..599), `code` a stable short word for programs, `field` the JSON path
    of the value at fault (`$[0].text`), `retry_after_s` a whole number of seconds, `refused` the reason why
    nothing of the request was executed (then it is safe to send it elsewhere).
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
    """One item cannot be answered: a handler raises it, or returns it in the place of that item's result.

    Only the request with that item fails, with HTTP `status` (400..599); the rest of the batch is answered.

        def predict(self, texts: list[str]) -> list[list[float] | dilu.ItemError]:
            return [embed(text) if text else dilu.ItemError("the text is empty", field="$") for text in texts]
    """

    def __init__(self, message: str, *, status: int = 422, code: str = "bad-item", field: str | None = None) -> None:
        if not 400 <= status <= 599:
            raise ConfigError(f"ItemError: status = {status}, must be an error of HTTP, 400..599")
        super().__init__(status, code, message, field=field)
