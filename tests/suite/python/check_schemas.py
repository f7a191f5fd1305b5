"""Judges JSON Schemas by the meta-schema of draft 2020-12.

Usage: check_schemas.py FILE, one schema a line. Exits 1 and names every schema that is refused.
"""

import json
import sys

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

checked = 0
refused = 0
with open(sys.argv[1], encoding="utf-8") as lines:
    for number, line in enumerate(lines, start=1):
        checked += 1
        try:
            Draft202012Validator.check_schema(json.loads(line))
        except SchemaError as error:
            refused += 1
            print(f"schema {number} is refused: {error.json_path}: {error.message}")
print(f"{checked} schemas checked, {refused} refused")
sys.exit(1 if refused or not checked else 0)
