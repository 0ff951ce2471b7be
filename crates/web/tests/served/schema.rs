//! Checks a value against a JSON Schema: the part of the language that docs/openapi.json uses.
//! Anything else in a schema is an error, so that nothing is left unchecked.

use serde_json::{Map, Value};

/// What is wrong with `value`; nothing if it fits.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut checker = Checker { document, faults: Vec::new() };
    checker.check(schema, value, "$");
    checker.faults
}

struct Checker<'a> {
    document: &'a Value,
    faults: Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: no schema: {schema}"));
        for (rule, wanted) in rules {
            let fits = match rule.as_str() {
                "description" | "format" | "default" => true,
                "$ref" => {
                    let path = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    let target = self.document.pointer(path).cloned();
                    self.check(
                        &target.unwrap_or_else(|| panic!("{path} leads nowhere")),
                        value,
                        at,
                    );
                    true
                }
                "type" => is_any_type(wanted, value),
                "const" => wanted == value,
                "enum" => wanted.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
                "maxLength" => {
                    value.as_str().is_none_or(|s| s.len() as u64 <= wanted.as_u64().unwrap())
                }
                "pattern" => {
                    value.as_str().is_none_or(|s| fits_pattern(wanted.as_str().unwrap(), s))
                }
                "anyOf" => {
                    let document = self.document;
                    let mut all = wanted.as_array().unwrap().iter();
                    all.any(|schema| faults(document, schema, value).is_empty())
                }
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}[{place}]"));
                    }
                    true
                }
                "properties" => {
                    self.check_properties(wanted.as_object().unwrap(), value, at);
                    true
                }
                "required" => {
                    let mut names = wanted.as_array().unwrap().iter();
                    value.as_object().is_none_or(|object| {
                        names.all(|name| object.contains_key(name.as_str().unwrap()))
                    })
                }
                "additionalProperties" => {
                    self.check_additional(rules, wanted, value, at);
                    true
                }
                other => panic!("{at}: the rule {other} is not known here"),
            };
            if !fits {
                self.faults.push(format!("{at}: {rule} {wanted} does not fit {value}"));
            }
        }
    }

    fn check_properties(&mut self, wanted: &Map<String, Value>, value: &Value, at: &str) {
        for (name, schema) in wanted {
            if let Some(value) = value.get(name) {
                self.check(schema, value, &format!("{at}.{name}"));
            }
        }
    }

    fn check_additional(
        &mut self,
        rules: &Map<String, Value>,
        wanted: &Value,
        value: &Value,
        at: &str,
    ) {
        let known = rules.get("properties").and_then(Value::as_object);
        for (name, value) in value.as_object().into_iter().flatten() {
            if known.is_some_and(|known| known.contains_key(name)) {
                continue;
            }
            match wanted {
                Value::Bool(false) => self.faults.push(format!("{at}.{name} is not in the schema")),
                schema => self.check(schema, value, &format!("{at}.{name}")),
            }
        }
    }
}

fn is_any_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called {other}"),
    };
    wanted.as_array().map_or_else(|| is(wanted), |names| names.iter().any(is))
}

/// The patterns of the document: `^`, classes of characters with a count, and single characters.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut pattern = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap();
    while let Some(first) = pattern.chars().next() {
        let (is_it, after): (Box<dyn Fn(char) -> bool>, &str) = match first {
            '[' => {
                let end = pattern.find(']').unwrap();
                let class: Vec<char> = pattern[1..end].chars().collect();
                (Box::new(move |c| in_class(&class, c)), &pattern[end + 1..])
            }
            '\\' => {
                let escaped = pattern.chars().nth(1).unwrap();
                (Box::new(move |c| c == escaped), &pattern[2..])
            }
            single => (Box::new(move |c| c == single), &pattern[first.len_utf8()..]),
        };
        let (least, most, after) = count(after);
        let found = rest.chars().take(most).take_while(|c| is_it(*c)).count();
        if found < least {
            return false;
        }
        rest = &rest[found..];
        pattern = after;
    }
    rest.is_empty()
}

fn in_class(class: &[char], c: char) -> bool {
    class.chunks(3).any(|range| match *range {
        [from, '-', to] => (from..=to).contains(&c),
        _ => range.contains(&c),
    })
}

fn count(after: &str) -> (usize, usize, &str) {
    match after.chars().next() {
        Some('+') => (1, usize::MAX, &after[1..]),
        Some('?') => (0, 1, &after[1..]),
        Some('{') => {
            let end = after.find('}').unwrap();
            let count = after[1..end].parse().unwrap();
            (count, count, &after[end + 1..])
        }
        _ => (1, 1, after),
    }
}

#[test]
fn the_checker_finds_what_does_not_fit() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "a": { "type": ["string", "null"], "pattern": "^-?[0-9]+\\.[0-9]{3}$" } },
        "required": ["a"],
        "additionalProperties": false,
    });
    let count = |value: Value| faults(&Value::Null, &schema, &value).len();
    assert_eq!(count(serde_json::json!({ "a": "-12.345" })), 0);
    assert_eq!(count(serde_json::json!({ "a": null })), 0);
    for bad in [
        serde_json::json!({ "a": "12.34" }),
        serde_json::json!({ "a": "x12.345" }),
        serde_json::json!({ "a": 5 }),
        serde_json::json!({}),
        serde_json::json!({ "a": null, "b": 1 }),
    ] {
        assert_eq!(count(bad.clone()), 1, "{bad}");
    }
}
