"""Data against the JSON Schemas that a definition gives for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from fnctl.openworkflow.fault import standard

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


class Schemas:
    """Of one run; a schema is compiled once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[str, Draft202012Validator] = {}

    async def check(self, said: Mapping[str, Any] | None, data: Any, what: str) -> None:
        """Raises Fault (validation) where the data does not fit, (configuration) where the schema is none."""
        if said is None:
            return
        if not str(said.get("format", "json")).startswith("json"):
            raise standard(
                "configuration", f"the schema of {what} is in the format `{said['format']}`; only json is known"
            )
        document = said["document"] if "document" in said else await self._fetched(said["resource"])
        error = next(self._validator(document, what).iter_errors(data), None)
        if error is not None:
            where = "".join(f"/{step}" for step in error.absolute_path) or "/"
            raise standard("validation", f"{what}, at {where}: {error.message[:300]}")

    def _validator(self, document: Any, what: str) -> Draft202012Validator:
        word = json.dumps(document, sort_keys=True)
        found = self._known.get(word)
        if found is None:
            try:
                Draft202012Validator.check_schema(document)
            except SchemaError as error:
                raise standard("configuration", f"the schema of {what} is none: {error.message[:300]}") from None
            found = self._known[word] = Draft202012Validator(document)
        return found

    async def _fetched(self, resource: Mapping[str, Any]) -> Any:
        from fnctl.openworkflow.kinds.resources import document
        from fnctl.openworkflow.run import ROOT

        return await document(self._run, ROOT.below("schema"), resource)
