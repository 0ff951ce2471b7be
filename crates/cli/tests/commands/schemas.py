"""Objects against a schema of docs/schemas: SCHEMA, and on standard input one object a line.

A reader of this release may meet the events and fields of a later one, so the schemas allow them.
Here each field that is written must be named: every object of the schema is closed first. An event
that the schema does not know is a fault, too.
"""

import json
import sys

from jsonschema import Draft202012Validator


def closed(schema):
    """The schema with no room for fields that it does not name."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # What is below `properties` and `$defs` are names, of fields that may be called as a keyword is.
    inside = {
        key: {name: closed(of) for name, of in value.items()}
        if key in ("properties", "$defs")
        else closed(value)
        for key, value in schema.items()
    }
    if "properties" in inside:
        inside["additionalProperties"] = False
    return inside


def strict(schema, event):
    """The schema of one event, closed: its own fields, and those of every line."""
    definitions = closed(schema["$defs"])
    if event is None:
        return closed(schema)
    whole = definitions.get(event)
    if whole is None or event == "types":
        return False
    whole["properties"] = {**closed(schema["properties"]), **whole["properties"]}
    whole["required"] = [*schema["required"], *whole.get("required", [])]
    return {"$ref": f"#/$defs/{event}", "$defs": definitions}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    published = Draft202012Validator(schema)
    has_events = "event" in schema["properties"]
    faults, validators = [], {}
    for line in sys.stdin:
        found = json.loads(line)
        event = found.get("event") if has_events else None
        if event not in validators:
            validators[event] = Draft202012Validator(strict(schema, event))
        for validator in (validators[event], published):
            for error in validator.iter_errors(found):
                where = "/".join(str(part) for part in error.absolute_path)
                faults.append(f"{event or ''} {where}: {error.message[:300]}")
    print("\n".join(sorted(set(faults))[:50]))
    sys.exit(1 if faults or not validators else 0)


main()
