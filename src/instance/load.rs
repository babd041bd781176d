//! Finding instances: a reference on the command line, or everything in a file or folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::{InstanceError, Place};
use super::types::Instance;
use super::{folder, row};

/// The longest row that is read: the largest published one has less than 1 MiB.
const ROW_LIMIT: u64 = 64 << 20;

/// Returns the instance that `reference` names: a task folder, or `FILE.jsonl#id` (`#id` may be left out if the file
/// holds a single row).
///
/// # Errors
/// Nothing of that name, several, or an instance that is malformed; see [`InstanceError`].
pub fn load(reference: &str) -> Result<Instance, InstanceError> {
    let ambiguous = |reason| InstanceError::Reference { reference: reference.to_owned(), reason };
    let whole = Path::new(reference);
    let (path, id) = match reference.rsplit_once('#') {
        Some((path, id)) if !whole.exists() => (PathBuf::from(path), Some(id)),
        _ => (whole.to_owned(), None),
    };
    if path.is_dir() {
        return match id {
            Some(_) => load_all(&path).and_then(|all| pick(&path, all, id.unwrap_or_default())),
            None if path.join(folder::SETTINGS).is_file() => folder::load(&path),
            None => Err(ambiguous("the folder holds no task.toml")),
        };
    }
    let mut all = load_all(&path)?;
    match (id, all.len()) {
        (Some(id), _) => pick(&path, all, id),
        (None, 1) => Ok(all.remove(0)),
        (None, 0) => Err(ambiguous("the file holds no instance")),
        (None, _) => Err(ambiguous("the file holds several instances")),
    }
}

/// Returns every instance of a `.jsonl` file in its order, of a task folder, or of a folder of task folders by name.
///
/// # Errors
/// The first instance that is malformed, with its place; two with one id.
pub fn load_all(path: &Path) -> Result<Vec<Instance>, InstanceError> {
    let found = if path.join(folder::SETTINGS).is_file() {
        vec![(Place::of(path), folder::load(path)?)]
    } else if path.is_dir() {
        tasks(path)?
    } else {
        rows(path)?
    };
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for (place, instance) in &found {
        if let Some(first) = seen.insert(&instance.id, place) {
            let (place, first) = (place.clone(), first.clone());
            return Err(InstanceError::Duplicate { place, first, id: instance.id.clone() });
        }
    }
    Ok(found.into_iter().map(|(_, instance)| instance).collect())
}

fn pick(path: &Path, all: Vec<Instance>, id: &str) -> Result<Instance, InstanceError> {
    let close = |other: &&Instance| other.id.ends_with(id) || other.id.to_lowercase().contains(&id.to_lowercase());
    let mut candidates: Vec<String> = all.iter().filter(close).take(3).map(|i| i.id.clone()).collect();
    if candidates.is_empty() {
        candidates = all.iter().take(3).map(|i| i.id.clone()).collect();
    }
    all.into_iter().find(|instance| instance.id == id).ok_or_else(|| InstanceError::NotFound {
        place: Place::of(path),
        id: id.chars().take(200).collect(),
        candidates,
    })
}

fn tasks(path: &Path) -> Result<Vec<(Place, Instance)>, InstanceError> {
    let unreadable = |e: std::io::Error| InstanceError::Unreadable { place: Place::of(path), reason: e.to_string() };
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if folder.join(folder::SETTINGS).is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    folders.into_iter().map(|folder| Ok((Place::of(&folder), folder::load(&folder)?))).collect()
}

fn rows(path: &Path) -> Result<Vec<(Place, Instance)>, InstanceError> {
    let unreadable = |e: std::io::Error| InstanceError::Unreadable { place: Place::of(path), reason: e.to_string() };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut found = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.by_ref().take(ROW_LIMIT + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if length == 0 {
            break;
        }
        if length as u64 > ROW_LIMIT {
            return Err(InstanceError::TooLarge { place: Place::at(path, number), limit: "64 MiB" });
        }
        // Some editors begin a file with the mark of its encoding, which says nothing.
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line);
        if !text.trim_ascii().is_empty() {
            found.push((Place::at(path, number), row::parse(path, number, text)?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> String {
        format!(
            "{{\"instance_id\":\"{id}\",\"repo\":\"o/n\",\"base_commit\":\"{}\",\"problem_statement\":\"x\"}}\n",
            "a".repeat(40)
        )
    }

    #[test]
    fn a_reference_names_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.jsonl");
        fs::write(&file, format!("{}\n{}", row("o__n-1"), row("o__n-2"))).unwrap();
        let reference = |id: &str| format!("{}#{id}", file.display());
        assert_eq!(load(&reference("o__n-2")).unwrap().id, "o__n-2");
        let error = load(&reference("n-2")).unwrap_err();
        assert_eq!(error.hint().unwrap(), "it holds for example o__n-2");
        assert!(load(&file.display().to_string()).unwrap_err().to_string().contains("several instances"));
        fs::write(&file, format!("\u{feff}{}", row("o__n-1"))).unwrap();
        assert_eq!(load(&file.display().to_string()).unwrap().id, "o__n-1");
        assert!(matches!(load("no such folder"), Err(InstanceError::Unreadable { .. })));
    }

    #[test]
    fn an_id_used_twice_is_refused_with_both_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.jsonl");
        fs::write(&file, format!("{}{}", row("a"), row("a"))).unwrap();
        let error = load_all(&file).unwrap_err().to_string();
        assert!(
            error.contains("rows.jsonl:2: the id `a` was already used in") && error.ends_with("rows.jsonl:1"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_of_tasks_is_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::create_dir_all(folder.path().join(name).join("repo")).unwrap();
            fs::write(folder.path().join(name).join("task.toml"), "test_command = \"x\"\n").unwrap();
            fs::write(folder.path().join(name).join("issue.md"), "x").unwrap();
        }
        let ids: Vec<String> = load_all(folder.path()).unwrap().into_iter().map(|i| i.id).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(load(&format!("{}#b", folder.path().display())).unwrap().id, "b");
        assert!(load(&folder.path().display().to_string()).unwrap_err().to_string().contains("no task.toml"));
    }
}
