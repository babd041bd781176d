//! Named and versioned ways to leave volatile text out of keys. Each one weakens what an equal replay shows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalise {
    /// Dates and times become `<date>`.
    Date,
    /// Names in temp folders are numbered in order of first appearance in the request.
    TmpPaths,
    /// UUIDs are renamed in order of first appearance in the request.
    Uuids,
    /// What Codex makes up anew for every run: cache key, metadata, and the ids and times in its tools' output.
    Codex,
}

impl Normalise {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Date, Self::TmpPaths, Self::Uuids, Self::Codex];

    /// Returns the word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::TmpPaths => "tmp-paths",
            Self::Uuids => "uuids",
            Self::Codex => "codex",
        }
    }

    /// Returns name and version, as recorded.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Date => "date/2",
            Self::TmpPaths => "tmp-paths/2",
            Self::Uuids => "uuids/1",
            Self::Codex => "codex/1",
        }
    }
}

/// Members that Codex fills with ids and times of its own.
const CODEX: [&str; 4] = ["prompt_cache_key", "client_metadata", "create_time", "turn_id"];

static DATE: LazyLock<Regex> = LazyLock::new(|| {
    let month = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*";
    let (hours, sixty) = ("(?:[01][0-9]|2[0-3])", "[0-5][0-9]");
    let clock = format!(r"{hours}:{sixty}:{sixty}(?:\.[0-9]+)?");
    let time = format!(r"(?:{clock}|{hours}:{sixty})");
    let zone = r"(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?";
    let day = format!(
        r"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}|[0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{4}}|{month} [0-9]{{1,2}},? [0-9]{{4}}|[0-9]{{1,2}} {month} [0-9]{{4}}"
    );
    let week = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?";
    // Without a day only a time with its seconds is one: `10:20` may be a line and a column, or a score.
    constant(&format!(r"\b{week}(?:(?:{day})(?:[T ,]+{time}{zone})?|{clock}{zone})\b"))
});
static TMP: LazyLock<Regex> =
    LazyLock::new(|| constant(r"(?:/private)?(?:/var/folders/[^/\s]+/[^/\s]+/T|/var/tmp|/tmp)/[A-Za-z0-9._-]+"));
static UUID: LazyLock<Regex> =
    LazyLock::new(|| constant(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"));
static EXEC: LazyLock<Regex> =
    LazyLock::new(|| constant(r"(Chunk ID: )[0-9a-f]+|(Wall time: )[0-9]+(?:\.[0-9]+)?( seconds?)"));

fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is constant")
}

/// What was met so far in a request, by the order of its first appearance.
#[derive(Default)]
struct Names {
    uuids: BTreeMap<String, usize>,
    paths: BTreeMap<String, usize>,
}

fn number(names: &mut BTreeMap<String, usize>, name: String) -> usize {
    let next = names.len();
    *names.entry(name).or_insert(next)
}

/// Leaves out of a request what the given ways name.
pub(super) fn apply(value: &mut Value, ways: &[Normalise]) {
    if !ways.is_empty() {
        rewrite(value, ways, &mut Names::default());
    }
}

fn rewrite(value: &mut Value, ways: &[Normalise], names: &mut Names) {
    match value {
        Value::String(text) => {
            for way in ways {
                *text = rewritten(text, *way, names);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, ways, names)),
        Value::Object(members) => {
            if ways.contains(&Normalise::Codex) {
                CODEX.iter().for_each(|name| drop(members.remove(*name)));
            }
            // In one order, whatever the agent's is: ids are named in the order in which they are met.
            let mut order: Vec<String> = members.keys().cloned().collect();
            order.sort();
            for name in order {
                if let Some(member) = members.get_mut(&name) {
                    rewrite(member, ways, names);
                }
            }
        }
        _ => {}
    }
}

/// Says whether neither a colon nor a digit touches what lies between: next to one it is a place in a file.
fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let touches = |byte: Option<&u8>| byte.is_some_and(|byte| *byte == b':' || byte.is_ascii_digit());
    let before = start.checked_sub(1).and_then(|at| text.as_bytes().get(at));
    let after = &text.as_bytes()[end..];
    // A colon that ends a clause is none of a place.
    let is_place = after.first() == Some(&b':') && after.get(1).is_some_and(u8::is_ascii_digit);
    !touches(before) && !is_place && !after.first().is_some_and(u8::is_ascii_digit)
}

fn rewritten(text: &str, way: Normalise, names: &mut Names) -> String {
    match way {
        Normalise::Date => {
            let dated = |found: &Captures<'_>| {
                let all = found.get(0).expect("the whole match");
                if is_alone(text, all.start(), all.end()) { "<date>".to_owned() } else { found[0].to_owned() }
            };
            DATE.replace_all(text, dated).into_owned()
        }
        Normalise::TmpPaths => {
            let named = |found: &Captures<'_>| format!("<tmp#{}>", number(&mut names.paths, found[0].to_owned()));
            TMP.replace_all(text, named).into_owned()
        }
        Normalise::Codex => EXEC.replace_all(text, "$1$2<…>$3").into_owned(),
        Normalise::Uuids => {
            let named =
                |found: &Captures<'_>| format!("uuid#{}", number(&mut names.uuids, found[0].to_ascii_lowercase()));
            UUID.replace_all(text, named).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(ways: &[Normalise], mut value: Value) -> Value {
        apply(&mut value, ways);
        value
    }

    #[test]
    fn dates_and_temp_paths_are_left_out_and_only_where_that_was_asked() {
        let both = [Normalise::Date, Normalise::TmpPaths];
        let one = with(&both, json!(["Today is Wed, 25 Nov 2026 15:01:02 UTC in /tmp/tmpab12/x"]));
        assert_eq!(one, with(&both, json!(["Today is 2026-11-26T00:00:00Z in /tmp/tmpzz99/x"])));
        assert_eq!(one, json!(["Today is <date> in <tmp#0>/x"]));
        assert_eq!(with(&[Normalise::TmpPaths], json!("2026-11-26")), json!("2026-11-26"));
    }

    #[test]
    fn places_in_files_and_scores_are_no_times() {
        let of = |text: &str| with(&[Normalise::Date], json!(text));
        for text in ["main.rs:10:20", "main.rs:10:20:30", "16:09", "ratio 21:99:00", "a:12:30:59:1", "25:00:00"] {
            assert_eq!(of(text), json!(text));
        }
        assert_ne!(of("error at main.rs:10:20"), of("error at main.rs:11:20"));
        for (text, left) in [
            ("at 10:20:30", "at <date>"),
            ("[23:59:59.123 UTC]", "[<date>]"),
            ("2026-11-25 10:20", "<date>"),
            ("2026-11-25T10:20:30Z: started", "<date>: started"),
            ("Wed, 25 Nov 2026 15:01 GMT", "<date>"),
        ] {
            assert_eq!(of(text), json!(left), "{text}");
        }
    }

    #[test]
    fn temp_paths_are_numbered_by_first_appearance() {
        let of = |text: &str| with(&[Normalise::TmpPaths], json!(text));
        assert_eq!(of("mv /tmp/good /tmp/bad"), of("mv /tmp/x1 /tmp/x2"));
        assert_ne!(of("mv /tmp/a /tmp/b; rm /tmp/a"), of("mv /tmp/a /tmp/b; rm /tmp/b"));
        let both = json!(["rm /tmp/good", {"a": "/tmp/good /tmp/bad"}]);
        let swapped = json!(["rm /tmp/good", {"a": "/tmp/bad /tmp/good"}]);
        assert_ne!(with(&[Normalise::TmpPaths], both), with(&[Normalise::TmpPaths], swapped));
    }

    #[test]
    fn uuids_are_renamed_by_first_appearance() {
        let (a, b) = ("0190f1c2-0000-7abc-8def-001122334455", "ABCDEF01-0000-4abc-8def-001122334455");
        let of = |x: &str, y: &str| with(&[Normalise::Uuids], json!({"b": format!("{{\"s\":\"{x}\"}}"), "c": [y, x]}));
        assert_eq!(of(a, b), of(b, a));
        assert_eq!(of(a, b)["c"], json!(["uuid#1", "uuid#0"]));
        assert_ne!(of(a, b), of(a, a));
    }

    #[test]
    fn what_codex_makes_up_is_left_out() {
        let of = |id: &str, time: &str| {
            let output = format!("Chunk ID: {id}\nWall time: {time} seconds\nok");
            with(
                &[Normalise::Codex],
                json!({"prompt_cache_key": id, "input": [{"output": output, "metadata": {"turn_id": id}}]}),
            )
        };
        assert_eq!(of("bc5769", "0.0000"), of("012345", "1.25"));
        assert!(of("a", "1").to_string().contains("\\nok"));
    }
}
