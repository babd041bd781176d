//! Task folders: `task.toml`, `issue.md`, the code, and the held-out tests.
//!
//! | entry | what it is |
//! |---|---|
//! | `task.toml` | settings; an unknown key is refused |
//! | `issue.md` | the issue text |
//! | `repo/` | plain files of the project, unless `task.toml` names a `repository` or a `bundle` |
//! | `held_out/` | files laid over the worktree for grading; never shown |
//! | `fix.patch` | the known fix, for checking the task; never shown |

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{InstanceError, Place};
use super::row::{
    COMMAND, COMMIT, ID, IMAGE_ID, PYTHON, VARIABLE, is_command, is_commit, is_id, is_image_id, is_python, is_variable,
};
use super::types::{Hidden, Instance, Repository};
use crate::canon::tree::is_safe_path;

/// The name of the settings file that makes a folder a task.
pub(super) const SETTINGS: &str = "task.toml";
const TEXT_LIMIT: u64 = 8 << 20;
const HELD_OUT_LIMIT: u64 = 32 << 20;
const HELD_OUT_FILES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    id: Option<String>,
    repository: Option<PathBuf>,
    bundle: Option<PathBuf>,
    base_commit: Option<String>,
    test_command: Option<String>,
    hidden_test_command: Option<String>,
    #[serde(default)]
    test_env: BTreeMap<String, String>,
    log_parser: Option<String>,
    #[serde(default)]
    fail_to_pass: Vec<String>,
    #[serde(default)]
    pass_to_pass: Vec<String>,
    env: Option<String>,
    env_python: Option<String>,
    #[serde(default)]
    env_packages: Vec<String>,
    env_setup: Option<String>,
    image: Option<String>,
    image_id: Option<String>,
    #[serde(default)]
    version: String,
    timeout_seconds: Option<u32>,
    #[serde(default)]
    network_loopback: bool,
}

/// Reads the task in `folder`.
pub(super) fn load(folder: &Path) -> Result<Instance, InstanceError> {
    let file = folder.join(SETTINGS);
    let text = read_text(&file)?;
    let settings: Settings = toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map(|span| 1 + text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count());
        InstanceError::Syntax {
            place: Place { file: file.clone(), line },
            format: "a task",
            reason: error.message().replace('\n', " "),
        }
    })?;
    let wrong = |field: &str, expected, found: &str| InstanceError::Field {
        place: Place::of(&file),
        field: field.to_owned(),
        expected,
        found: found.chars().take(80).collect(),
    };
    let id = match &settings.id {
        Some(id) => id.clone(),
        None => folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    if !is_id(&id) {
        return Err(wrong("id", ID, &format!("{id:?}")));
    }
    if let Some(commit) = settings.base_commit.as_deref().filter(|commit| !is_commit(commit)) {
        return Err(wrong("base_commit", COMMIT, &format!("{commit:?}")));
    }
    if let Some(version) = settings.env_python.as_deref().filter(|version| !is_python(version)) {
        return Err(wrong("env_python", PYTHON, &format!("{version:?}")));
    }
    if let Some(id) = settings.image_id.as_deref().filter(|id| !is_image_id(id)) {
        return Err(wrong("image_id", IMAGE_ID, &format!("{id:?}")));
    }
    if settings.timeout_seconds.is_some_and(|seconds| !(1..=86400).contains(&seconds)) {
        return Err(wrong("timeout_seconds", "a whole number of seconds from 1 to 86400", "another number"));
    }
    if settings.test_command.as_deref().is_none_or(|command| command.trim().is_empty()) {
        return Err(wrong("test_command", "a shell command that runs the tests", "nothing"));
    }
    for (field, command) in [
        ("test_command", &settings.test_command),
        ("hidden_test_command", &settings.hidden_test_command),
        ("env_setup", &settings.env_setup),
    ] {
        if let Some(command) = command.as_deref().filter(|command| !is_command(command)) {
            return Err(wrong(field, COMMAND, &format!("{command:?}")));
        }
    }
    if let Some((name, value)) = settings.test_env.iter().find(|(name, value)| !is_variable(name, value)) {
        return Err(wrong("test_env", VARIABLE, &format!("{name:?} with {value:?}")));
    }
    let repository =
        repository(folder, &settings).map_err(|(field, expected, found)| wrong(field, expected, &found))?;
    let problem_statement = read_text(&folder.join("issue.md"))?;
    if problem_statement.trim().is_empty() {
        return Err(InstanceError::Field {
            place: Place::of(&folder.join("issue.md")),
            field: "issue.md".into(),
            expected: "the issue text",
            found: "an empty file".into(),
        });
    }
    let fix = folder.join("fix.patch");
    Ok(Instance {
        id,
        repository,
        base_commit: settings.base_commit,
        problem_statement,
        hints: String::new(),
        patch: if fix.exists() { Some(read_text(&fix)?) } else { None },
        hidden: held_out(&folder.join("held_out"))?,
        fail_to_pass: settings.fail_to_pass,
        pass_to_pass: settings.pass_to_pass,
        test_command: settings.test_command,
        hidden_test_command: settings.hidden_test_command,
        test_env: settings.test_env,
        log_parser: settings.log_parser,
        env: settings.env,
        env_python: settings.env_python,
        env_packages: settings.env_packages,
        included: BTreeMap::new(),
        mirror: None,
        version: settings.version,
        timeout_seconds: settings.timeout_seconds,
        network_loopback: settings.network_loopback,
        env_setup: settings.env_setup,
        image: settings.image,
        image_id: settings.image_id,
        eval_script: None,
        eval_type: None,
    })
}

type Wrong = (&'static str, &'static str, String);

fn repository(folder: &Path, settings: &Settings) -> Result<Repository, Wrong> {
    let plain = folder.join("repo");
    match (&settings.repository, &settings.bundle, plain.is_dir()) {
        (Some(path), None, false) => {
            let path = folder.join(path);
            if path.is_dir() {
                Ok(Repository::Path(path))
            } else {
                Err(("repository", "the path of a git repository", format!("no folder {}", path.display())))
            }
        }
        (None, Some(path), false) => {
            let path = folder.join(path);
            if path.is_file() {
                Ok(Repository::Bundle(path))
            } else {
                Err(("bundle", "the path of a git bundle", format!("no file {}", path.display())))
            }
        }
        (None, None, true) if settings.base_commit.is_some() => {
            Err(("base_commit", "absent beside a repo/ folder, which has no history", "a commit".into()))
        }
        (None, None, true) => Ok(Repository::Folder(plain)),
        (None, None, false) => {
            Err(("repository", "given (or `bundle`, or a folder repo/)", "none of the three".into()))
        }
        _ => Err(("repository", "the only one of `repository`, `bundle` and the folder repo/", "two of them".into())),
    }
}

fn read_text(file: &Path) -> Result<String, InstanceError> {
    let place = || Place::of(file);
    let unreadable = |e: std::io::Error| InstanceError::Unreadable { place: place(), reason: e.to_string() };
    // A device or a pipe may have no end, and its size is told as 0.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is no plain file")));
    }
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|file| file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(InstanceError::TooLarge { place: place(), limit: "8 MiB" });
    }
    String::from_utf8(bytes).map_err(|e| InstanceError::Syntax {
        place: place(),
        format: "UTF-8",
        reason: e.utf8_error().to_string(),
    })
}

fn held_out(root: &Path) -> Result<Hidden, InstanceError> {
    let mut files = BTreeMap::new();
    let mut size = 0;
    let mut folders = if root.is_dir() { vec![String::new()] } else { Vec::new() };
    while let Some(folder) = folders.pop() {
        let place = || Place::of(&root.join(&folder));
        let unreadable = |e: std::io::Error| InstanceError::Unreadable { place: place(), reason: e.to_string() };
        for entry in fs::read_dir(root.join(&folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(InstanceError::Syntax { place: place(), format: "UTF-8", reason: "a file's name".into() });
            };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if !is_safe_path(&path) {
                return Err(InstanceError::Syntax { place: place(), format: "a safe path", reason: path });
            }
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let mut bytes = Vec::new();
                let file = fs::File::open(entry.path()).map_err(unreadable)?;
                size += file.take(HELD_OUT_LIMIT - size + 1).read_to_end(&mut bytes).map_err(unreadable)? as u64;
                files.insert(path, bytes);
            } else {
                let reason = format!("{path} is a link or a device");
                return Err(InstanceError::Syntax { place: place(), format: "made of plain files", reason });
            }
            if size > HELD_OUT_LIMIT || files.len() > HELD_OUT_FILES {
                return Err(InstanceError::TooLarge { place: Place::of(root), limit: "32 MiB or 10,000 files" });
            }
        }
    }
    Ok(if files.is_empty() { Hidden::None } else { Hidden::Overlay(files) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(settings: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SETTINGS), settings).unwrap();
        fs::write(folder.path().join("issue.md"), "It fails.\n").unwrap();
        fs::create_dir_all(folder.path().join("repo")).unwrap();
        folder
    }

    const GOOD: &str = "id = \"t\"\ntest_command = \"python3 -m unittest\"\n";

    #[test]
    fn a_folder_with_plain_files_and_held_out_tests() {
        let folder = task(GOOD);
        fs::create_dir_all(folder.path().join("held_out/tests")).unwrap();
        fs::write(folder.path().join("held_out/tests/test_x.py"), "x\n").unwrap();
        let instance = load(folder.path()).unwrap();
        assert_eq!(instance.repository, Repository::Folder(folder.path().join("repo")));
        assert_eq!(instance.hidden_paths(), ["tests/test_x.py"]);
        assert_eq!(instance.grading_command(), Some("python3 -m unittest"));
    }

    #[test]
    fn a_link_in_the_held_out_files_is_refused() {
        let folder = task(GOOD);
        fs::create_dir_all(folder.path().join("held_out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("held_out/x")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("is a link or a device"));
    }

    #[test]
    fn what_is_too_large_or_has_no_end_is_not_read() {
        let folder = task(GOOD);
        fs::create_dir_all(folder.path().join("held_out")).unwrap();
        fs::File::create(folder.path().join("held_out/hole")).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(load(folder.path()), Err(InstanceError::TooLarge { .. })), "{:?}", load(folder.path()));
        let folder = task(GOOD);
        fs::remove_file(folder.path().join("issue.md")).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("issue.md")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("no plain file"));
    }

    #[test]
    fn settings_that_are_wrong_say_where() {
        for (settings, message) in [
            ("id = \"t\"\nid2 = 3\ntest_command = \"x\"\n", "task.toml:2 is not a task: unknown field `id2`"),
            ("id = \"t\"\ntest_command = 3\n", "task.toml:2 is not a task: invalid type"),
            ("id = \"a b\"\ntest_command = \"x\"\n", "field `id` must be"),
            ("id = \"t\"\n", "field `test_command` must be a shell command"),
            ("id = \"t\"\ntest_command = \"x\\u0000\"\n", "field `test_command` must be a shell command without NUL"),
            (
                "id = \"t\"\ntest_command = \"x\"\nenv_setup = \"\\u0000\"\n",
                "field `env_setup` must be a shell command",
            ),
            (
                "id = \"t\"\ntest_command = \"x\"\n[test_env]\n\"\" = \"\"\n",
                "field `test_env` must be a text by a name",
            ),
            ("id = \"t\"\ntest_command = \"x\"\nrepository = \"r\"\n", "found two of them"),
            ("id = \"t\"\ntest_command = \"x\"\nbase_commit = \"abcdef1\"\n", "which has no history"),
        ] {
            let folder = task(settings);
            let error = load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let folder = task(GOOD);
        fs::remove_dir(folder.path().join("repo")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("none of the three"));
        fs::write(folder.path().join("issue.md"), " \n").unwrap();
        fs::create_dir(folder.path().join("repo")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("the issue text"));
    }
}
