//! The form of an instance that a run records: canonical JSON without any path of this machine.
//!
//! A repository on this machine is recorded by its kind alone; what binds the code is the base tree, which is an event
//! of its own. Reading back therefore gives empty paths, and a replay needs none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::InstanceError;
use super::row::is_id;
use super::types::{Hidden, Instance, Repository};
use crate::canon;
use crate::canon::tree::is_safe_path;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: String,
    repository: RecordRepository,
    base_commit: Option<String>,
    problem_statement: String,
    hints: String,
    patch: Option<String>,
    hidden: RecordHidden,
    fail_to_pass: Vec<String>,
    pass_to_pass: Vec<String>,
    test_command: Option<String>,
    hidden_test_command: Option<String>,
    test_env: BTreeMap<String, String>,
    log_parser: Option<String>,
    env: Option<String>,
    env_python: Option<String>,
    env_packages: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    included: BTreeMap<String, canon::Blake3>,
    mirror: Option<String>,
    version: String,
    timeout_seconds: Option<u32>,
    network_loopback: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env_setup: Option<String>,
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_id: Option<String>,
    eval_script: Option<String>,
    eval_type: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordRepository {
    Named(String),
    Path,
    Bundle,
    Folder,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordHidden {
    None,
    TestPatch(String),
    Overlay(BTreeMap<String, Content>),
}

/// Bytes of a file: as text where they are UTF-8, so that a person can read the record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Text(String),
    Hex(String),
}

impl Instance {
    /// Returns the canonical bytes that a run records.
    pub fn to_bytes(&self) -> Vec<u8> {
        let i = self.clone();
        let record = Record {
            id: i.id,
            repository: match i.repository {
                Repository::Named(name) => RecordRepository::Named(name),
                Repository::Path(_) => RecordRepository::Path,
                Repository::Bundle(_) => RecordRepository::Bundle,
                Repository::Folder(_) => RecordRepository::Folder,
            },
            base_commit: i.base_commit,
            problem_statement: i.problem_statement,
            hints: i.hints,
            patch: i.patch,
            hidden: match i.hidden {
                Hidden::None => RecordHidden::None,
                Hidden::TestPatch(patch) => RecordHidden::TestPatch(patch),
                Hidden::Overlay(files) => {
                    RecordHidden::Overlay(files.into_iter().map(|(path, bytes)| (path, content(bytes))).collect())
                }
            },
            fail_to_pass: i.fail_to_pass,
            pass_to_pass: i.pass_to_pass,
            test_command: i.test_command,
            hidden_test_command: i.hidden_test_command,
            test_env: i.test_env,
            log_parser: i.log_parser,
            env: i.env,
            env_python: i.env_python,
            env_packages: i.env_packages,
            included: i.included,
            mirror: i.mirror,
            version: i.version,
            timeout_seconds: i.timeout_seconds,
            network_loopback: i.network_loopback,
            env_setup: i.env_setup,
            image: i.image,
            image_id: i.image_id,
            eval_script: i.eval_script,
            eval_type: i.eval_type,
        };
        canon::json::to_bytes(&record).expect("texts, flags and 32-bit integers have a canonical form")
    }

    /// Reads what [`Instance::to_bytes`] wrote; a repository on the recording machine comes back with an empty path.
    ///
    /// # Errors
    /// Anything but the canonical bytes of an instance.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InstanceError> {
        let r: Record = canon::json::from_bytes(bytes).map_err(|e| InstanceError::Record(e.to_string()))?;
        if !is_id(&r.id) {
            return Err(InstanceError::Record(format!("its id {:?} is none", r.id)));
        }
        if let Some(path) = r.included.keys().find(|path| !is_safe_path(path)) {
            return Err(InstanceError::Record(format!("the included folder's path {path:?} is not safe")));
        }
        Ok(Self {
            id: r.id,
            repository: match r.repository {
                RecordRepository::Named(name) => Repository::Named(name),
                RecordRepository::Path => Repository::Path(PathBuf::new()),
                RecordRepository::Bundle => Repository::Bundle(PathBuf::new()),
                RecordRepository::Folder => Repository::Folder(PathBuf::new()),
            },
            base_commit: r.base_commit,
            problem_statement: r.problem_statement,
            hints: r.hints,
            patch: r.patch,
            hidden: match r.hidden {
                RecordHidden::None => Hidden::None,
                RecordHidden::TestPatch(patch) => Hidden::TestPatch(patch),
                RecordHidden::Overlay(files) => Hidden::Overlay(
                    files.into_iter().map(|(path, content)| file(path, content)).collect::<Result<_, _>>()?,
                ),
            },
            fail_to_pass: r.fail_to_pass,
            pass_to_pass: r.pass_to_pass,
            test_command: r.test_command,
            hidden_test_command: r.hidden_test_command,
            test_env: r.test_env,
            log_parser: r.log_parser,
            env: r.env,
            env_python: r.env_python,
            env_packages: r.env_packages,
            included: r.included,
            mirror: r.mirror,
            version: r.version,
            timeout_seconds: r.timeout_seconds,
            network_loopback: r.network_loopback,
            env_setup: r.env_setup,
            image: r.image,
            image_id: r.image_id,
            eval_script: r.eval_script,
            eval_type: r.eval_type,
        })
    }
}

fn content(bytes: Vec<u8>) -> Content {
    match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Hex(canon::digest::hex(error.as_bytes())),
    }
}

fn file(path: String, content: Content) -> Result<(String, Vec<u8>), InstanceError> {
    if !is_safe_path(&path) {
        return Err(InstanceError::Record(format!("the hidden file's path {path:?} is not safe")));
    }
    let bytes = match content {
        Content::Text(text) => text.into_bytes(),
        Content::Hex(digits) => {
            unhex(&digits).ok_or_else(|| InstanceError::Record(format!("{path}: not hexadecimal digits")))?
        }
    };
    Ok((path, bytes))
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(repository: Repository) -> Instance {
        Instance {
            hidden: Hidden::Overlay(
                [("a.py".to_owned(), b"x\n".to_vec()), ("b.bin".to_owned(), vec![0, 255, 16])].into(),
            ),
            fail_to_pass: vec!["a".into()],
            test_command: Some("python3 -m unittest".into()),
            included: BTreeMap::from([("node_modules".into(), canon::Blake3::of(b"x"))]),
            timeout_seconds: Some(60),
            ..Instance::new("t".into(), repository, "It fails.".into())
        }
    }

    #[test]
    fn the_record_holds_no_path_and_reads_back() {
        let original = instance(Repository::Path("/home/somebody/project".into()));
        let bytes = original.to_bytes();
        assert!(!String::from_utf8(bytes.clone()).unwrap().contains("somebody"));
        let back = Instance::from_bytes(&bytes).unwrap();
        assert_eq!(back, Instance { repository: Repository::Path(PathBuf::new()), ..original });
        assert_eq!(back.to_bytes(), bytes);

        let named = instance(Repository::Named("o/n".into()));
        assert_eq!(Instance::from_bytes(&named.to_bytes()).unwrap(), named);
    }

    #[test]
    fn hostile_records_are_refused() {
        let bytes = instance(Repository::Path(PathBuf::new())).to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"id\":\"t\"", "\"id\":\"../t\""),
            ("a.py", "../a.py"),
            ("node_modules", "../node_modules"),
            ("00ff10", "00FF10"),
            ("00ff10", "00ff1"),
            ("\"hints\"", "\"hinds\""),
        ] {
            assert!(Instance::from_bytes(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
