//! What an environment is made of, and the name that follows from it.

use std::collections::BTreeMap;

use super::super::GateError;
use crate::canon::{Blake3, json};

/// A Python version and the packages to install for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    python: String,
    packages: Vec<String>,
}

impl Recipe {
    /// Checks a Python version (`3.11`) and package requirements (`name==version`, with markers if need be).
    ///
    /// # Errors
    /// A version that is none; a requirement that is an option, an address or a path, none of which can be pinned.
    pub fn new<S: AsRef<str>>(python: &str, packages: &[S]) -> Result<Self, GateError> {
        let parts: Vec<&str> = python.split('.').collect();
        let is_number =
            |part: &&str| !part.is_empty() && part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_number) {
            return Err(GateError::Recipe(format!("{python:?} is not a Python version like 3.11")));
        }
        let mut sorted = Vec::new();
        for package in packages {
            let package = package.as_ref().trim();
            let starts_well = package.starts_with(|first: char| first.is_ascii_alphanumeric());
            if !starts_well || package.contains(['\n', '\r', '\0', '@', '/', '\\']) || package.len() > 300 {
                return Err(GateError::Recipe(format!("{package:?} is not a package requirement")));
            }
            sorted.push(package.to_owned());
        }
        sorted.sort();
        sorted.dedup();
        Ok(Self { python: python.to_owned(), packages: sorted })
    }

    /// Returns the name of the environment's folder: `py3.11-` and twelve digits of the digest of the packages.
    pub fn name(&self) -> String {
        let bytes = json::to_bytes(&(&self.python, &self.packages)).expect("strings");
        format!("py{}-{}", self.python, &Blake3::of(&bytes).to_hex()[..12])
    }

    /// Returns the Python version asked for.
    pub fn python(&self) -> &str {
        &self.python
    }

    /// Returns the requirements, sorted.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }
}

/// Returns the files that a project's own build would put into its source tree, which tests import and git ignores.
///
/// A project under test is not installed, so nobody else makes them. `version` is the instance's, `8.0`.
pub fn generated_files(repo: &str, version: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    if repo == "pytest-dev/pytest" {
        let numbers: Vec<u32> =
            version.split('.').map_while(|part| part.parse().ok()).chain([0, 0, 0]).take(3).collect();
        let [major, minor, patch] = numbers[..] else { return files };
        let text = format!(
            "version = __version__ = \"{major}.{minor}.{patch}\"\n\
             version_tuple = __version_tuple__ = ({major}, {minor}, {patch})\n"
        );
        files.insert("src/_pytest/_version.py".to_owned(), text);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_the_content_alone() {
        let name = |python, packages: &[&str]| Recipe::new(python, packages).unwrap().name();
        assert_eq!(name("3.11", &["b==2", "a==1"]), name("3.11", &["a==1", " b==2", "a==1"]));
        assert_ne!(name("3.11", &["a==1"]), name("3.9", &["a==1"]));
        assert_ne!(name("3.11", &["a==1"]), name("3.11", &["a==2"]));
        assert!(name("3.11", &[]).starts_with("py3.11-"));
    }

    #[test]
    fn what_is_no_pinned_requirement_is_refused() {
        for package in ["--index-url=http://x", "-e .", "../x", "a @ http://x/a.zip", "a\nb", "", "http://x/a.zip"] {
            assert!(matches!(Recipe::new("3.11", &[package]), Err(GateError::Recipe(_))), "{package:?}");
        }
        for python in ["", "3", "three", "3.11.1.1", "3.11; rm", "../3.1"] {
            assert!(matches!(Recipe::new(python, &["a==1"]), Err(GateError::Recipe(_))), "{python:?}");
        }
        assert!(Recipe::new("3.9.18", &["backports.zoneinfo==0.2.1; python_version<'3.9'", "x[y]>=1,<2"]).is_ok());
    }

    #[test]
    fn a_version_file_is_made_where_a_build_would_make_one() {
        let files = generated_files("pytest-dev/pytest", "8.0");
        assert!(files["src/_pytest/_version.py"].contains("(8, 0, 0)"));
        assert!(generated_files("django/django", "4.2").is_empty());
    }
}
