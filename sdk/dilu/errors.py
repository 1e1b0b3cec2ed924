"""Every error that Dilu raises on purpose.

* DiluError
  * ConfigError         what a person wrote cannot be used: a spec, a file, a flag
    * FieldError        one value of it, with its key and the rule (in `dilu.spec`)
  * LoadError           a function's module or handler cannot be loaded
  * RequestError        one request cannot be answered as asked; carries its HTTP status
"""

from __future__ import annotations

from typing import final


class DiluError(Exception):
    """The root: catch it to catch whatever Dilu raises on purpose."""


class ConfigError(DiluError, ValueError):
    """What a person wrote cannot be used. The message names the key, the value seen and the rule."""


class LoadError(DiluError):
    """A function's module or handler cannot be loaded. The message names the file and the line where known."""


@final
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
