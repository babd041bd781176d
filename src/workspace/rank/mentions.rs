//! What a task names outright: paths, frames of tracebacks, modules, test files.

use std::collections::{BTreeMap, BTreeSet};

/// Percent of the best shared vocabulary that each kind of mention is worth.
const WHOLE_PATH: u64 = 150;
const END_OF_PATH: u64 = 110;
const FRAME: u64 = 90;
const LAST_FRAME: u64 = 60;
const MODULE: u64 = 70;
const PACKAGE: u64 = 12;
const FILE_NAME: u64 = 60;
const NAMED_LIKE_TEST: u64 = 60;
const IMPORTED_BY_TEST: u64 = 25;

/// Evidence by path.
pub(super) struct Mentions<'a> {
    found: BTreeMap<&'a str, BTreeMap<&'static str, u64>>,
    tests: BTreeSet<&'a str>,
    modules: BTreeMap<String, &'a str>,
}

impl<'a> Mentions<'a> {
    /// Looks for every mention in a task.
    pub(super) fn find(paths: &[&'a str], issue: &str, failing: &str) -> Self {
        let modules = paths.iter().flat_map(|path| module_names(path).into_iter().map(|name| (name, *path))).collect();
        let mut mentions = Self { found: BTreeMap::new(), tests: BTreeSet::new(), modules };
        let mut by_name: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for path in paths {
            by_name.entry(path.rsplit('/').next().unwrap_or(path)).or_default().push(path);
        }
        for text in [issue, failing] {
            let mut last_frame = None;
            for line in text.lines() {
                let is_frame = line.trim_start().starts_with("File \"") || line.contains(": in ");
                for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || "_./\\-".contains(c))) {
                    let word = word.trim_matches(['.', '-']).replace('\\', "/");
                    if let Some(path) = mentions.path(&word, &by_name, is_frame)
                        && is_frame
                    {
                        last_frame = Some(path);
                    }
                    mentions.module(&word);
                }
            }
            if let Some(path) = last_frame {
                mentions.add(path, "last frame of a traceback", LAST_FRAME);
            }
        }
        for test in mentions.tests.clone() {
            let name = test.rsplit('/').next().unwrap_or(test);
            let name = name.trim_start_matches("test_").replace("_test.", ".").replace("_tests.", ".");
            let same: Vec<&str> = by_name.get(name.as_str()).cloned().unwrap_or_default();
            let same: Vec<&str> = same.into_iter().filter(|path| *path != test).collect();
            for path in &same {
                mentions.add(path, "named like a failing test", NAMED_LIKE_TEST / same.len() as u64);
            }
        }
        mentions
    }

    /// Returns the evidence for a file.
    pub(super) fn evidence(&self, path: &str) -> Vec<(u64, String)> {
        let found = self.found.get(path).into_iter().flatten();
        found.map(|(reason, percent)| (*percent, (*reason).to_owned())).collect()
    }

    /// Says whether the task names this file and it is a test.
    pub(super) fn is_named_test(&self, path: &str) -> bool {
        self.tests.contains(path)
    }

    /// Follows the imports of a test file that the task names.
    pub(super) fn follow_imports(&mut self, text: &str) {
        for line in text.lines().take(200) {
            let line = line.trim_start();
            let Some(rest) = line.strip_prefix("from ").or_else(|| line.strip_prefix("import ")) else { continue };
            let (module, names) = rest.split_once(" import ").unwrap_or((rest, ""));
            for module in module.split(',') {
                let module = module.split_whitespace().next().unwrap_or("");
                let members = names.split([',', '(', ')']).map(|name| format!("{module}.{}", name.trim()));
                for name in std::iter::once(module.to_owned()).chain(members) {
                    if let Some(path) = self.modules.get(&name).copied() {
                        self.add(path, "imported by a failing test", IMPORTED_BY_TEST);
                    }
                }
            }
        }
    }

    fn add(&mut self, path: &'a str, reason: &'static str, percent: u64) {
        let known = self.found.entry(path).or_default().entry(reason).or_insert(0);
        *known = percent.max(*known);
    }

    /// Notes a word that names a file, whole or by its end.
    fn path(&mut self, word: &str, by_name: &BTreeMap<&str, Vec<&'a str>>, is_frame: bool) -> Option<&'a str> {
        let name = word.rsplit('/').next().filter(|name| name.contains('.'))?;
        let candidates = by_name.get(name)?;
        // The longest common end wins: tracebacks name installed copies, `site-packages/pkg/a.py`.
        let common = |path: &str| path.rsplit('/').zip(word.rsplit('/')).take_while(|(a, b)| a == b).count();
        let most = candidates.iter().map(|path| common(path)).max()?;
        let best: Vec<&'a str> = candidates.iter().filter(|path| common(path) == most).copied().collect();
        let share = best.len() as u64;
        for path in &best {
            let whole = most == path.split('/').count();
            let (reason, percent) = match (whole, is_frame, most) {
                (_, true, 2..) => ("frame of a traceback", FRAME),
                (true, _, 2..) => ("named by its path", WHOLE_PATH),
                (_, _, 2..) => ("named by the end of its path", END_OF_PATH),
                _ => ("named by its file name", FILE_NAME),
            };
            self.add(path, reason, percent / share);
            if super::put_back(path) == 10 {
                self.tests.insert(path);
            }
        }
        match best[..] {
            [path] if super::put_back(path) == 1 && most > 1 => Some(path),
            _ => None,
        }
    }

    /// Notes a word that names a module, or something in one: `pkg.core.Basket.total`.
    fn module(&mut self, word: &str) {
        if !word.contains('.') || word.contains('/') {
            return;
        }
        let ends = word.match_indices('.').map(|(at, _)| at).chain([word.len()]);
        let mut longest = None;
        for end in ends {
            if let Some(path) = self.modules.get(&word[..end]).copied() {
                longest = Some((path, word[..end].contains('.')));
            }
        }
        if let Some((path, is_dotted)) = longest {
            let is_package = path.ends_with("/__init__.py");
            if is_package || !is_dotted {
                self.add(path, "named as a package", PACKAGE);
            } else {
                self.add(path, "named as a module", MODULE);
            }
        }
    }
}

/// Returns the dotted names under which a Python file is imported: from the root, and from below `src` or `lib`.
fn module_names(path: &str) -> Vec<String> {
    let Some(stem) = path.strip_suffix(".py") else { return Vec::new() };
    let stem = stem.strip_suffix("/__init__").unwrap_or(stem);
    let below = stem.strip_prefix("src/").or_else(|| stem.strip_prefix("lib/"));
    below.into_iter().chain([stem]).map(|stem| stem.replace('/', ".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[&str] =
        &["pkg/__init__.py", "pkg/a/query.py", "pkg/b/query.py", "pkg/core.py", "src/lib2/x.py", "tests/test_core.py"];

    fn evidence(issue: &str, path: &str) -> Vec<(u64, String)> {
        Mentions::find(PATHS, issue, "").evidence(path)
    }

    #[test]
    fn a_shared_file_name_is_shared_evidence() {
        assert_eq!(evidence("in query.py", "pkg/a/query.py"), evidence("in query.py", "pkg/b/query.py"));
        assert!(evidence("in pkg/a/query.py", "pkg/b/query.py").is_empty());
        assert!(evidence("in a/query.py", "pkg/a/query.py")[0].0 > evidence("in query.py", "pkg/a/query.py")[0].0);
    }

    #[test]
    fn modules_are_found_by_the_longest_name() {
        assert_eq!(evidence("pkg.core.Basket.total()", "pkg/core.py"), [(MODULE, "named as a module".to_owned())]);
        assert!(evidence("pkg.core.Basket.total()", "pkg/__init__.py").is_empty());
        assert_eq!(evidence("see lib2.x", "src/lib2/x.py").len(), 1);
        assert!(evidence("e.g. nothing...", "pkg/core.py").is_empty());
    }
}
