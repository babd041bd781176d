//! One-shot diffs: what is applied, what is refused, and that git agrees.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::canon::{Blake3, Tree, TreeEntry};
use crate::edit::{Change, Limits};

const FILE: &str =
    "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n";
const GOOD: &str = "--- a/shop/basket.py\n+++ b/shop/basket.py\n@@ -2,4 +2,4 @@\n     result = 0\n     for price in prices:\n-        result = price\n+        result += price\n     return result\n";

fn propose_for(path: &str, text: &str, reply: &str) -> Result<Proposal, Refusal> {
    let mut tree = Tree::default();
    let entry = |text: &str| TreeEntry {
        mode: FileMode::Regular,
        digest: Blake3::of(text.as_bytes()),
        size: text.len() as u64,
    };
    tree.insert(path.into(), entry(text));
    tree.insert("tests/test_basket.py".into(), entry("pass\n"));
    let shown = BTreeMap::from([(path.to_owned(), text.as_bytes().to_vec())]);
    let protected = |path: &str| crate::edit::is_protected(&[], path);
    let context =
        Context { tree: &tree, shown: &shown, cut_off: false, protected: &protected, limits: Limits::default() };
    propose_patch(reply.as_bytes(), &context, &mut |_| Some(b"pass\n".to_vec()))
}

fn outcome(reply: &str) -> Result<(String, Vec<&'static str>), Code> {
    let proposal = propose_for("shop/basket.py", FILE, reply).map_err(|refusal| refusal.code)?;
    let text = match proposal.changes.get("shop/basket.py") {
        Some(Change::Write { bytes, .. }) => String::from_utf8(bytes.clone()).unwrap(),
        _ => String::new(),
    };
    Ok((text, proposal.codes.iter().map(|code| code.as_str()).collect()))
}

#[test]
fn a_diff_is_applied_as_git_does_and_else_as_patch_does() {
    let right = FILE.replace("result = price", "result += price");
    let fenced = format!("The sum is missing.\n\n```diff\n{GOOD}```\nThat is all.\n");
    assert_eq!(outcome(GOOD), Ok((right.clone(), vec!["N-GITAPPLY", "N-NOGATE"])));
    assert_eq!(outcome(&fenced), outcome(GOOD));
    assert_eq!(
        outcome(&GOOD.replace("@@ -2,4 +2,4 @@", "@@ -12,4 +12,4 @@")),
        Ok((right.clone(), vec!["N-GITAPPLY", "N-OFFSET", "N-NOGATE"]))
    );
    // A wrong line of context is given up by `patch` only.
    assert_eq!(
        outcome(&GOOD.replace("     result = 0", "     total = 0")),
        Ok((right, vec!["N-PATCH", "N-FUZZ", "N-NOGATE"]))
    );
    let backwards = GOOD.replace(
        "-        result = price\n+        result += price",
        "-        result += price\n+        result = price",
    );
    assert_eq!(outcome(&backwards).unwrap().1, ["N-PATCH", "N-REVERSED", "N-NOGATE"]);
}

#[test]
fn what_is_not_applied_is_refused_by_its_own_code() {
    let cases = [
        ("I would add the prices.".to_owned(), Code::NoDiff),
        ("FILE: shop/basket.py\nLINES: 4-4\n```\n        result += price\n```\n".to_owned(), Code::NoDiff),
        (GOOD.replace("@@ -2,4 +2,4 @@", "@@ -2,9 +2,9 @@"), Code::Malformed),
        (GOOD.replace("@@ -2,4 +2,4 @@", "@@ ... @@"), Code::Malformed),
        (GOOD.replace("shop/basket.py", "basket.py"), Code::NoApply),
        (GOOD.replace("-        result = price", "-        result = cost"), Code::NoApply),
        (GOOD.replace("shop/basket.py", "tests/test_basket.py"), Code::Protected),
        (GOOD.replace("shop/basket.py", "../basket.py"), Code::UnsafePath),
        (GOOD.replace("shop/basket.py", ".git/config"), Code::UnsafePath),
        (GOOD.replace("+        result += price", "+        result = price"), Code::NoOp),
    ];
    for (reply, code) in cases {
        assert_eq!(outcome(&reply), Err(code), "{reply}");
    }
}

#[test]
fn files_are_created_and_removed() {
    let create = "--- /dev/null\n+++ b/shop/new.py\n@@ -0,0 +1 @@\n+x = 1\n";
    let proposal = propose_for("shop/basket.py", FILE, create).unwrap();
    assert!(proposal.codes.contains(&Code::Create), "{:?}", proposal.codes);
    let remove = format!(
        "--- a/shop/basket.py\n+++ /dev/null\n@@ -1,5 +0,0 @@\n{}",
        FILE.replace("def", "-def").replace("\n ", "\n- ")
    );
    let proposal = propose_for("shop/basket.py", FILE, &remove).unwrap();
    assert_eq!(proposal.changes.get("shop/basket.py"), Some(&Change::Remove));
}

#[test]
fn a_new_file_that_nobody_could_write_is_refused() {
    let create = |path: &str| format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x = 1\n");
    let long = "n".repeat(256);
    for path in ["shop/basket.py/new.py", "shop", &long, &["d"; 502].join("/"), "shop/__pycache__/new.py", "new.pyc"] {
        assert_eq!(outcome(&create(path)), Err(Code::UnsafePath), "{path}");
    }
    assert_eq!(outcome(&(create("new") + &create("new/below.py"))), Err(Code::UnsafePath));
}

/// Applies with git in a folder of its own: the file afterwards, where git succeeds.
fn by_git(before: &[u8], diff: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, before).unwrap();
    let mut command = Command::new("git");
    command.args(["apply", "-"]).current_dir(folder.path()).env("GIT_CEILING_DIRECTORIES", folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // Git may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(diff.as_bytes());
    child.wait().unwrap().success().then(|| fs::read(&path).unwrap_or_default())
}

fn by_us(program: Program, before: &[u8], diff: &str) -> Option<Vec<u8>> {
    let files = parse::parse(diff, program).ok()?;
    let mut bytes = before.to_vec();
    for file in files {
        bytes = apply::apply(&bytes, &file.hunks, program).ok()?.bytes;
    }
    Some(bytes)
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("a".to_owned()), 3 => Just("b".to_owned()), 2 => Just("c".to_owned()), 1 => "[d-z]"]
}

fn marked() -> impl Strategy<Value = Vec<(char, String)>> {
    prop::collection::vec((prop_oneof![3 => Just(' '), 1 => Just('-'), 1 => Just('+')], line()), 1..8)
}

fn diff_of(hunks: &[(usize, isize, Vec<(char, String)>)]) -> String {
    let mut text = "--- a/f\n+++ b/f\n".to_owned();
    for (start, wrong, lines) in hunks {
        let count = |other: char| lines.iter().filter(|(mark, _)| *mark != other).count();
        let (old, new) = (count('+').saturating_add_signed(*wrong), count('-'));
        text.push_str(&format!("@@ -{start},{old} +{start},{new} @@\n"));
        lines.iter().for_each(|(mark, line)| text.push_str(&format!("{mark}{line}\n")));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn git_agrees(
        before in prop::collection::vec(line(), 0..12),
        taken in any::<prop::sample::Index>(),
        changed in prop::collection::vec((prop_oneof![4 => Just(' '), 1 => Just('-'), 1 => Just('+')], line(), 0..8_u8), 1..8),
        start in 1..12_usize,
        wrong in prop_oneof![6 => Just(0_isize), 1 => -1..2_isize],
        random in marked(),
        is_random in prop::bool::weighted(0.2),
    ) {
        // Mostly a hunk out of the file itself with some lines spoilt, else anything.
        let at = taken.index(before.len() + 1);
        let mut rest = before[at..].iter();
        let own = changed.into_iter().map_while(|(mark, line, spoil)| match mark {
            '+' => Some((mark, line)),
            mark => rest.next().map(|own| (mark, if spoil == 0 { line } else { own.clone() })),
        });
        let lines: Vec<(char, String)> = if is_random { random } else { own.collect() };
        prop_assume!(!lines.is_empty());
        let start = if start % 2 == 0 { at + 1 } else { start };
        let diff = diff_of(&[(start, wrong, lines)]);
        let before = before.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        prop_assert_eq!(by_us(Program::Git, &before, &diff), by_git(&before, &diff), "{}", diff);
    }
}
