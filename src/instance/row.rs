//! One row of a SWE-bench data set: version 4 (lists as JSON texts), version 5 (image, script and parser in the row),
//! and the extra fields that run a row without containers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{InstanceError, Place};
use super::types::{Hidden, Instance, Repository};

/// Reads the row in `line`, the `number`-th line of `file`.
pub(super) fn parse(file: &Path, number: usize, line: &[u8]) -> Result<Instance, InstanceError> {
    let place = Place::at(file, number);
    let syntax = |format, reason| InstanceError::Syntax { place: place.clone(), format, reason };
    // The line is known, and it is another one than the parser's first.
    let reason = |error: serde_json::Error| error.to_string().replace(" at line 1 column ", " at column ");
    let value: Value = serde_json::from_slice(line).map_err(|error| syntax("JSON", reason(error)))?;
    if !value.is_object() {
        return Err(syntax("a JSON object", format!("found {}", kind(&value))));
    }
    let Fields(map) = serde_json::from_slice(line).map_err(|error| syntax("a row", reason(error)))?;
    let row = Row { place, map };
    let id = row.required("instance_id", ID)?;
    row.check("instance_id", ID, &id, is_id)?;
    let repository = row.required("repo", "a text of the form owner/name")?;
    row.check("repo", "a text of the form owner/name", &repository, is_repository)?;
    let commit = row.required("base_commit", COMMIT)?;
    row.check("base_commit", COMMIT, &commit, is_commit)?;
    let hidden = match row.text("test_patch")? {
        Some(patch) => {
            row.check("test_patch", DIFF, &patch, is_diff)?;
            Hidden::TestPatch(patch)
        }
        None => Hidden::None,
    };
    let patch = row.text("patch")?;
    patch.iter().try_for_each(|patch| row.check("patch", DIFF, patch, is_diff))?;
    for field in ["test_command", "hidden_test_command", "env_setup"] {
        let command = row.text(field)?;
        command.iter().try_for_each(|command| row.check(field, COMMAND, command, is_command))?;
    }
    let env_python = row.text("env_python")?;
    env_python.iter().try_for_each(|version| row.check("env_python", PYTHON, version, is_python))?;
    let image_id = row.text("image_id")?;
    image_id.iter().try_for_each(|id| row.check("image_id", IMAGE_ID, id, is_image_id))?;
    Ok(Instance {
        id,
        repository: Repository::Named(repository),
        base_commit: Some(commit),
        problem_statement: row.required("problem_statement", "a text")?,
        hints: row.text("hints_text")?.unwrap_or_default(),
        patch,
        hidden,
        fail_to_pass: row.names("FAIL_TO_PASS")?,
        pass_to_pass: row.names("PASS_TO_PASS")?,
        test_command: row.text("test_command")?,
        hidden_test_command: row.text("hidden_test_command")?,
        test_env: row.environment("test_env")?,
        log_parser: row.text("log_parser")?,
        env: row.text("env")?,
        env_python,
        env_packages: row.names("env_packages")?,
        included: BTreeMap::new(),
        mirror: row.text("mirror")?,
        version: row.text("version")?.unwrap_or_default(),
        timeout_seconds: row.seconds("timeout_seconds")?,
        network_loopback: row.flag("network_loopback")?,
        env_setup: row.text("env_setup")?,
        image: row.text("image")?,
        image_id,
        eval_script: row.text("eval_script")?,
        eval_type: row.text("eval_type")?,
    })
}

pub(super) const ID: &str = "a text of up to 200 letters, digits and ._+-, with neither . nor - first";
pub(super) const COMMIT: &str = "a commit id of 7 to 64 hexadecimal digits";
pub(super) const PYTHON: &str = "a version of Python such as \"3.11\"";
pub(super) const IMAGE_ID: &str = "a digest of the form sha256: and 64 hexadecimal digits";
pub(super) const COMMAND: &str = "a shell command without NUL bytes";
pub(super) const VARIABLE: &str = "a text by a name without =, neither with NUL bytes";
const DIFF: &str = "a unified diff, with lines `--- a/…` and `+++ b/…`";

/// Says whether a shell can be given the command.
pub(super) fn is_command(text: &str) -> bool {
    !text.contains('\0')
}

/// Says whether an environment can hold the variable.
pub(super) fn is_variable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Says whether `id` can name folders and branches.
pub(super) fn is_id(id: &str) -> bool {
    (1..=200).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        && !id.starts_with(['.', '-'])
}

pub(super) fn is_repository(name: &str) -> bool {
    name.split('/').count() == 2 && name.split('/').all(is_id)
}

pub(super) fn is_commit(id: &str) -> bool {
    (7..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn is_python(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn is_image_id(id: &str) -> bool {
    let digits = id.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_diff(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("+++ "))
        || text.lines().any(|line| line.starts_with("diff --git ") || line.starts_with("rename to "))
}

/// The fields of a row, each there once: of two, no one could say which counts.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with each field once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("the field {name:?} is there twice")));
            }
            fields.insert(name, value);
        }
        Ok(Fields(fields))
    }
}

/// A row with its place, for messages.
struct Row {
    place: Place,
    map: Map<String, Value>,
}

impl Row {
    fn wrong(&self, field: &str, expected: &'static str, found: &str) -> InstanceError {
        let found = found.chars().take(80).collect();
        InstanceError::Field { place: self.place.clone(), field: field.to_owned(), expected, found }
    }

    fn check(
        &self,
        field: &str,
        expected: &'static str,
        text: &str,
        is_valid: fn(&str) -> bool,
    ) -> Result<(), InstanceError> {
        if is_valid(text) { Ok(()) } else { Err(self.wrong(field, expected, &format!("{text:?}"))) }
    }

    /// Returns the text of a field; `null` and the empty text count as absent, as published rows mix them.
    fn text(&self, field: &str) -> Result<Option<String>, InstanceError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong(field, "a text", kind(other))),
        }
    }

    fn required(&self, field: &str, expected: &'static str) -> Result<String, InstanceError> {
        match self.map.get(field) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::String(_)) => Err(self.wrong(field, expected, "an empty text")),
            Some(other) => Err(self.wrong(field, expected, kind(other))),
            None => Err(self.wrong(field, expected, "no such field")),
        }
    }

    /// Returns a list of texts, given as an array or as the JSON text of one.
    fn names(&self, field: &str) -> Result<Vec<String>, InstanceError> {
        const EXPECTED: &str = "a list of texts, or the JSON text of one";
        let parsed;
        let items = match self.map.get(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Array(items)) => {
                    parsed = items;
                    &parsed
                }
                _ => return Err(self.wrong(field, EXPECTED, &format!("{text:?}"))),
            },
            Some(other) => return Err(self.wrong(field, EXPECTED, kind(other))),
        };
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(field, EXPECTED, &format!("a list with {}", kind(other)))),
        };
        items.iter().map(text).collect()
    }

    fn environment(&self, field: &str) -> Result<BTreeMap<String, String>, InstanceError> {
        const EXPECTED: &str = "an object of texts";
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) if is_variable(name, text) => Ok((name.clone(), text.clone())),
                    Value::String(text) => Err(self.wrong(field, VARIABLE, &format!("{name:?} with {text:?}"))),
                    other => Err(self.wrong(&format!("{field}.{name}"), "a text", kind(other))),
                })
                .collect(),
            Some(other) => Err(self.wrong(field, EXPECTED, kind(other))),
        }
    }

    fn seconds(&self, field: &str) -> Result<Option<u32>, InstanceError> {
        const EXPECTED: &str = "a whole number of seconds from 1 to 86400";
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(n) if (1..=86400).contains(&n) => Ok(Some(n)),
                _ => Err(self.wrong(field, EXPECTED, &value.to_string())),
            },
        }
    }

    fn flag(&self, field: &str) -> Result<bool, InstanceError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(field, "true or false", kind(other))),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Value {
        json!({
            "repo": "owner/name", "instance_id": "owner__name-1", "base_commit": "c627226d05dd52aef59447dcfb29cec2c2b11b8a",
            "patch": "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n",
            "test_patch": "--- a/tests/t.py\n+++ b/tests/t.py\n@@ -1 +1 @@\n-a\n+b\n",
            "problem_statement": "It fails.", "hints_text": "", "version": "4.2", "created_at": "2022-01-01T00:00:00Z",
            "FAIL_TO_PASS": "[\"test_a (m.C)\"]", "PASS_TO_PASS": ["test_b (m.C)"], "verified": {"x": 1.5}, "quick": true,
        })
    }

    fn read(value: &Value) -> Result<Instance, InstanceError> {
        parse(Path::new("rows.jsonl"), 7, value.to_string().as_bytes())
    }

    #[test]
    fn a_field_that_is_there_twice_and_a_cut_line_are_refused_by_name() {
        let line = row().to_string().replace("\"quick\":true", "\"quick\":true,\"repo\":\"other/name\"");
        let error = |line: &str| parse(Path::new("rows.jsonl"), 7, line.as_bytes()).unwrap_err().to_string();
        let twice = error(&line);
        assert!(
            twice.starts_with("rows.jsonl:7 is not a row: the field \"repo\" is there twice at column "),
            "{twice}"
        );
        let cut = error(&line[..40]);
        assert!(
            cut.starts_with("rows.jsonl:7 is not JSON: EOF while parsing") && cut.ends_with(" at column 40"),
            "{cut}"
        );
    }

    #[test]
    fn lists_are_read_as_text_and_as_array() {
        let instance = read(&row()).unwrap();
        assert_eq!(instance.fail_to_pass, ["test_a (m.C)"]);
        assert_eq!(instance.pass_to_pass, ["test_b (m.C)"]);
        assert_eq!(instance.hidden_paths(), ["tests/t.py"]);
        assert_eq!(instance.hints, "");
    }

    #[test]
    fn the_extra_fields_and_those_of_version_5_are_kept() {
        let mut value = row();
        for (key, item) in json!({
            "env": "e", "env_python": "3.9", "env_packages": ["a==1"], "test_command": "python -m pytest", "mirror": "o+n",
            "test_env": {"PYTHONPATH": "{worktree}"}, "image": "registry/x:1", "eval_script": "#!/bin/sh\n",
            "log_parser": "parse_log_pytest", "eval_type": "fail_only", "timeout_seconds": 900, "network_loopback": true,
        })
        .as_object()
        .unwrap()
        {
            value[key] = item.clone();
        }
        let instance = read(&value).unwrap();
        assert_eq!(instance.env_packages, ["a==1"]);
        assert_eq!(instance.test_env["PYTHONPATH"], "{worktree}");
        assert_eq!(instance.eval_type.as_deref(), Some("fail_only"));
        assert_eq!(instance.log_parser.as_deref(), Some("parse_log_pytest"));
        assert_eq!((instance.timeout_seconds, instance.network_loopback), (Some(900), true));
    }

    #[test]
    fn a_wrong_field_is_named_with_file_line_and_expectation() {
        for (field, value, message) in [
            (
                "instance_id",
                json!("../x"),
                "field `instance_id` must be a text of up to 200 letters, digits and ._+-, with neither . nor - first, found \"../x\"",
            ),
            ("instance_id", json!(null), "found null"),
            ("repo", json!("name"), "field `repo` must be a text of the form owner/name, found \"name\""),
            ("base_commit", json!("HEAD; rm -rf"), "field `base_commit` must be a commit id"),
            ("FAIL_TO_PASS", json!("test_a"), "field `FAIL_TO_PASS` must be a list of texts"),
            ("PASS_TO_PASS", json!([1]), "found a list with a number"),
            ("test_patch", json!("oops"), "field `test_patch` must be a unified diff"),
            ("test_env", json!({"A": 1}), "field `test_env.A` must be a text, found a number"),
            ("test_env", json!({"A=B": ""}), "field `test_env` must be a text by a name without ="),
            ("test_env", json!({"A": "\0"}), "neither with NUL bytes, found \"A\" with \"\\0\""),
            ("test_command", json!("pytest\0"), "field `test_command` must be a shell command"),
            ("env_setup", json!("make\0"), "field `env_setup` must be a shell command"),
            ("timeout_seconds", json!(1.5), "a whole number of seconds"),
            ("env_python", json!("three"), "a version of Python"),
            ("env_python", json!("3.+9"), "a version of Python"),
            ("image_id", json!("sha256:12"), "a digest of the form sha256:"),
            ("problem_statement", json!(""), "found an empty text"),
        ] {
            let mut bad = row();
            bad[field] = value;
            let error = read(&bad).unwrap_err().to_string();
            assert!(error.starts_with("rows.jsonl:7: ") && error.contains(message), "{error}");
        }
        let error = parse(Path::new("rows.jsonl"), 3, b"{\"repo\":").unwrap_err().to_string();
        assert!(error.starts_with("rows.jsonl:3 is not JSON: "), "{error}");
    }
}
