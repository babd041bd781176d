//! Huge and hostile answers: what becomes of each, and how long that takes.

use std::collections::BTreeMap;
use std::time::Instant;

use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::edit::{Context, Format, Limits};

const MEGABYTE: usize = 1 << 20;

/// A file that is edited: its path and bytes.
type File = (&'static str, Vec<u8>);

fn filled(unit: &str, bytes: usize) -> String {
    let bytes = if unit.is_empty() { 0 } else { bytes };
    unit.repeat(bytes / unit.len().max(1) + 1)[..bytes].to_owned()
}

/// Returns answers of about so many bytes by what they are made of.
fn answers(bytes: usize, path: &str) -> Vec<(&'static str, Format, Vec<u8>)> {
    let head = format!("FILE: {path}\nLINES: 2-3\n");
    let fenced = |unit: &str| format!("{head}```\n{}\n```\n", filled(unit, bytes)).into_bytes();
    let text = |unit: &str| filled(unit, bytes).into_bytes();
    let after = |unit: &str| [head.as_bytes(), b"REASONING: so\n", &text(unit)].concat();
    let diff = |unit: &str| [format!("--- a/{path}\n+++ b/{path}\n").as_bytes(), &text(unit)].concat();
    let hunk = "@@ -1,2 +1,2 @@\n a = 1\n-b\n+c\n";
    let long = "x".repeat(bytes / 2);
    let direct: Vec<(&'static str, Vec<u8>)> = vec![
        ("a small edit", format!("{head}```\nb = 2\n```\n").into_bytes()),
        ("a small edit that breaks", format!("{head}```\nb = (2\n```\n").into_bytes()),
        (
            "60 small edits",
            (0..60)
                .flat_map(|n| format!("FILE: {path}\nLINES: {0}-{0}\n```\nb = 2\n```\n", 4 * n + 1).into_bytes())
                .collect(),
        ),
        ("one line", text("a")),
        ("one line in an edit", fenced("a = 1 ")),
        ("short lines in an edit", fenced("a\n")),
        ("blank lines behind a header", [head.as_bytes(), &text("\n")].concat()),
        ("paragraphs behind REASONING", after("a\n\n")),
        ("lines behind REASONING", after("a\n")),
        ("<<<<<<< SEARCH lines", text("<<<<<<< SEARCH\n")),
        (
            "one SEARCH of short lines",
            format!("{path}\n<<<<<<< SEARCH\n{}b\n=======\nc\n>>>>>>> REPLACE\n", filled("a = 1\n", bytes / 6 * 6))
                .into_bytes(),
        ),
        ("many SEARCH/REPLACE parts", text(&format!("{path}\n<<<<<<< SEARCH\na = 1\n=======\nb\n>>>>>>> REPLACE\n"))),
        ("fences", text("```\n")),
        ("fences behind a long line", format!("{long}\n{}", filled("```\n", bytes / 2)).into_bytes()),
        ("FILE headers", text(&format!("FILE: {path}\n"))),
        ("LINES under a long FILE", format!("FILE: {long}\n{}", filled("LINES: 1\nx\n", bytes / 2)).into_bytes()),
        ("whole edits", text(&format!("{head}```\nb = 2\n```\n"))),
        ("tabs", text("\t")),
        ("tabs in an edit", fenced("\t\t\tb\n  c\n")),
        ("invalid UTF-8", vec![0xff; bytes]),
        ("NULs", vec![0; bytes]),
        ("think parts", text("<think>a</think>b ")),
        ("nested JSON", format!("{}{}", "[".repeat(bytes / 2), "]".repeat(bytes / 2)).into_bytes()),
        (
            "JSON edits",
            format!("[{}{{}}]", filled(&format!("{{\"file\":\"{path}\",\"lines\":\"2-3\",\"code\":\"b\"}},"), bytes))
                .into_bytes(),
        ),
        ("nested brackets in an edit", fenced("(")),
        ("nested awaits in an edit", fenced("(await ")),
        ("a diff of hunks", diff(hunk)),
        ("a diff of one hunk", diff("-a = 1\n")),
    ];
    let patch = [
        ("patch: hunks", diff(hunk)),
        (
            "patch: one hunk",
            format!(
                "--- a/{path}\n+++ b/{path}\n@@ -4000000000,{0} +1,0 @@\n{1}",
                bytes / 7,
                filled("-a = 1\n", bytes / 7 * 7)
            )
            .into_bytes(),
        ),
        (
            "patch: 400 hunks far off",
            diff("")
                .into_iter()
                .chain((0..400).flat_map(|n| format!("@@ -4000000000,2 +{n},2 @@\n a = 1\n-a = 1\n+b\n").into_bytes()))
                .collect(),
        ),
        ("patch: fences", text("```diff\n")),
    ];
    let direct = direct.into_iter().map(|(name, reply)| (name, Format::Direct, reply));
    direct.chain(patch.into_iter().map(|(name, reply)| (name, Format::Patch, reply))).collect()
}

/// Returns files of about so many bytes.
fn files(bytes: usize) -> Vec<(&'static str, File)> {
    let text = |unit: &str| filled(unit, bytes / unit.len() * unit.len()).into_bytes();
    vec![
        ("equal lines", ("a.py", text("a = 1\n"))),
        ("one line", ("a.py", text("a = 1;"))),
        ("functions", ("a.py", text("def f():\n    return 1\n\n"))),
        ("deep awaits", ("a.py", [b"async def f():\n  ".to_vec(), text("(await "), b"1".to_vec(), text(")")].concat())),
        ("Go", ("a.go", [b"package a\n".to_vec(), text("var a = 1\n")].concat())),
        ("Rust", ("a.rs", text("/// a\n#[b]\nfn f() {}\n"))),
        ("C quotes", ("a.c", text("\\'"))),
        ("plain", ("a.txt", text("a = 1\n"))),
    ]
}

/// Prints a table: each answer against each file.
pub(crate) fn table() {
    let wide = Limits { reply_bytes: 64 * MEGABYTE, file_bytes: 64 * MEGABYTE as u64, ..Limits::default() };
    let below = MEGABYTE / 2 - 400;
    for (size, file_size, limits, said) in [
        (10 * MEGABYTE, below, Limits::default(), "answers of 10 MB, the limits as they are"),
        (2 * below, below, Limits::default(), "answers and files of up to 1 MB, the limits as they are"),
        (10 * MEGABYTE, 5 * MEGABYTE, wide, "answers of 10 MB, files of 5 MB and more, with a limit of 64 MB"),
    ] {
        println!("\n{said}");
        let mut slowest: BTreeMap<&str, (f64, String)> = BTreeMap::new();
        for (kind, (path, bytes)) in &files(file_size) {
            let mut tree = Tree::default();
            let entry = TreeEntry { mode: FileMode::Regular, digest: Blake3::of(bytes), size: bytes.len() as u64 };
            tree.insert((*path).to_owned(), entry);
            let shown = BTreeMap::from([((*path).to_owned(), bytes.clone())]);
            let context = Context { tree: &tree, shown: &shown, cut_off: false, protected: &|_| false, limits };
            for (name, format, reply) in answers(size, path) {
                let start = Instant::now();
                let outcome = format.propose(&reply, &context, &mut |_| None);
                let seconds = start.elapsed().as_secs_f64();
                let code = outcome.map_or_else(|refusal| refusal.code.to_string(), |_| "accepted".to_owned());
                let worst = slowest.entry(name).or_default();
                if seconds >= worst.0 {
                    *worst = (seconds, format!("{code} ({kind})"));
                }
                if seconds > 1.0 {
                    println!("  slow: {name} against {kind}: {seconds:.2} s {code}");
                }
            }
        }
        for (name, (seconds, code)) in slowest {
            println!("{name:<30} {seconds:>8.3} s  {code}");
        }
    }
}
