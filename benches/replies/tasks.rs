//! Small tasks: hand-written sources with one thing made wrong, and files of real instances.

use std::path::Path;
use std::process::Command;

use runproof::instance::{Instance, Repository};
use runproof::syntax::{Kind, Language, definitions};

/// One thing to ask about.
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) instance: Instance,
    pub(crate) path: String,
    pub(crate) text: Vec<u8>,
    pub(crate) failing: String,
}

const SOURCES: [(&str, &str); 7] = [
    ("ranges.py", include_str!("sources/ranges.py")),
    ("words.py", include_str!("sources/words.py")),
    ("account.py", include_str!("sources/account.py")),
    ("queue.rs", include_str!("sources/queue.rs")),
    ("dates.js", include_str!("sources/dates.js")),
    ("stats.go", include_str!("sources/stats.go")),
    ("tree.ts", include_str!("sources/tree.ts")),
];

/// What is made wrong: the kind of the bug, the right text and the wrong one.
const BUGS: [(&str, &str, &str); 22] = [
    ("border", " <= ", " < "),
    ("border", " >= ", " > "),
    ("border", " < ", " <= "),
    ("border", " > ", " >= "),
    ("off-by-one", " + 1", ""),
    ("off-by-one", " - 1", ""),
    ("off-by-one", "-1]", "]"),
    ("logic", " and ", " or "),
    ("logic", " && ", " || "),
    ("logic", " not ", " "),
    ("logic", "!root", "root"),
    ("operator", " += ", " = "),
    ("operator", " -= ", " += "),
    ("operator", " % ", " / "),
    ("operator", " / ", " * "),
    ("call", "min(", "max("),
    ("call", ".lower()", ""),
    ("call", "append(", "remove("),
    ("name", "self.high", "self.low"),
    ("name", "root.left", "root.right"),
    ("name", ".deposit(", ".withdraw("),
    ("equality", " == ", " != "),
];

/// Returns the tasks made of the hand-written sources.
pub(crate) fn small() -> Vec<Task> {
    let mut tasks = Vec::new();
    for (path, right) in SOURCES {
        for (kind, from, to) in BUGS {
            let Some(at) = right.find(from) else { continue };
            let text = format!("{}{to}{}", &right[..at], &right[at + from.len()..]);
            let line = right[..at].matches('\n').count() + 1;
            let language = Language::of_path(path);
            let around = language.map_or_else(Vec::new, |language| definitions(language, right.as_bytes()));
            let function = around.iter().rfind(|d| d.kind == Kind::Function && d.contains(line));
            let function = function.map_or(path, |d| d.name.as_str()).to_owned();
            let name = format!("{path}-{line}-{kind}");
            let issue = format!("{function} is wrong\n\n`{function}` does not do what its name says.");
            let failing = format!("FAIL: {function}\nAssertionError: {function} gives another result than expected\n");
            tasks.push(Task { instance: plain(&name, issue), name, path: path.into(), text: text.into(), failing });
        }
    }
    tasks
}

/// Returns tasks over the files that the known fixes of real instances touch; instances without a clone are left out.
pub(crate) fn real(instances: &Path, repos: &Path) -> Vec<Task> {
    let text = std::fs::read_to_string(instances).expect("the instances can be read");
    let mut tasks = Vec::new();
    for line in text.lines() {
        let Ok(row) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let Some(path) = field("patch").lines().find_map(|line| line.strip_prefix("+++ b/").map(str::to_owned)) else {
            continue;
        };
        let clone = repos.join(field("repo").replace('/', "+"));
        let clone = if clone.join("repo").exists() { clone.join("repo") } else { clone };
        let blob = format!("{}:{path}", field("base_commit"));
        let Ok(shown) = Command::new("git").arg("-C").arg(&clone).args(["show", &blob]).output() else { continue };
        if shown.status.success() {
            let name = field("instance_id");
            let instance = plain(&name, field("problem_statement"));
            tasks.push(Task { instance, name, path, text: shown.stdout, failing: String::new() });
        }
    }
    tasks
}

/// Returns the tasks of both kinds in turns, so that a search that ends early has seen both.
pub(crate) fn mixed(small: Vec<Task>, real: Vec<Task>) -> Vec<Task> {
    let (mut small, mut real) = (small.into_iter(), real.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(small.next().into_iter().chain(real.next()));
        if mixed.len() == before {
            return mixed;
        }
    }
}

fn plain(id: &str, issue: String) -> Instance {
    Instance::new(id.to_owned(), Repository::Folder("".into()), issue)
}
