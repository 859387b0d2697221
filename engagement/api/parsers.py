"""Reading JSON bodies: bounded in size, strict, and with one line that says what is wrong.

DRF's own parser reads a body of any size, and answers deep nesting with HTTP 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

import msgspec
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from engagement.api.errors import TooLarge


class JSONParser(BaseParser):
    """Decodes a JSON body of up to `limit` bytes into `type`."""

    media_type = "application/json"
    limit: ClassVar[int] = 64 * 1024
    type: ClassVar[Any] = Any

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the decoded body.

        Raises ParseError for what is no JSON or not of `type`; TooLarge.
        """
        body = stream.read(self.limit + 1)
        if len(body) > self.limit:
            raise TooLarge(f"The body is over {self.limit:,} bytes: send less at once.")
        try:
            return msgspec.json.decode(body, type=self.type)
        except msgspec.ValidationError as error:
            raise ParseError(f"The body does not fit: {error}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error
