//! `key`, `certify` and `verify` as a person uses them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{Output, TestEnv};
use crate::solve::{RIGHT, WRONG, place};

/// A place with a recorded run, a key, a certificate `c.json` and its evidence folder.
pub(crate) fn certified() -> TestEnv {
    let env = place(&[WRONG, RIGHT]);
    env.run(&["solve", "task", "--model", "scripted:script.jsonl", "--quiet"]).sound();
    env.run(&["key", "new", "k"]).sound();
    env.run(&["certify", "--key", "k", "-o", "c.json", "--evidence", "evidence"]).sound();
    env
}

fn verify(env: &TestEnv, more: &[&str]) -> Output {
    env.run(&[&["verify", "c.json", "--key", "k.pub"], more].concat())
}

/// Runs `verify --json` and returns exit code and report.
pub(crate) fn report(env: &TestEnv, more: &[&str]) -> (i32, Value) {
    let output = verify(env, &[more, &["--json"]].concat());
    let value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.code, value)
}

fn status(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == name).expect("every check is reported");
    check["status"].as_str().expect("a word").to_owned()
}

#[test]
fn a_certificate_verifies_from_a_folder_and_from_the_store() {
    let env = certified();
    let output = verify(&env, &["--evidence", "evidence"]).sound();
    assert!(output.starts_with("accepted at level replay; this does not show that its tests ran"), "{output}");
    let (code, report_) = report(&env, &["--evidence", ".runproof/transcripts.sqlite"]);
    assert_eq!((code, report_["level"].as_str()), (0, Some("replay")), "{report_}");
    let (code, alone) = report(&env, &[]);
    assert_eq!((code, alone["level"].as_str()), (0, Some("signature")));
    assert_eq!(status(&alone, "evidence"), "skipped");
}

#[test]
fn issuing_twice_gives_the_same_bytes_also_elsewhere() {
    let env = certified();
    let first = fs::read(env.work().join("c.json")).unwrap();
    env.run(&["certify", "--key", "k", "-o", "c.json"]).sound();
    env.run(&["store", "compact"]).sound();
    let mut command = env.command(&["certify", "--key", "k", "-o", "d.json"]);
    command.env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8").env("USER", "somebody");
    env.finish(&mut command).sound();
    assert_eq!(fs::read(env.work().join("c.json")).unwrap(), first);
    assert_eq!(fs::read(env.work().join("d.json")).unwrap(), first);
}

#[test]
fn k05_another_certificate_is_not_overwritten_and_a_link_is_not_followed() {
    let env = certified();
    let path = env.work().join("c.json");
    fs::write(&path, "mine").unwrap();
    let args = ["certify", "--key", "k", "-o", "c.json"];
    assert_eq!(env.run(&args).code, 4);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    env.run(&[&args[..], &["--force"]].concat()).sound();
    fs::remove_file(&path).unwrap();
    fs::write(env.work().join("other"), "x").unwrap();
    symlink("other", &path).unwrap();
    assert_eq!(env.run(&[&args[..], &["--force"]].concat()).code, 4);
    assert_eq!(fs::read(env.work().join("other")).unwrap(), b"x");
}

#[test]
fn a_certificate_that_cannot_be_written_completely_is_not_there() {
    let env = certified();
    fs::remove_file(env.work().join("c.json")).unwrap();
    // The system ends the program in the middle of the file: more than 512 bytes are too many.
    let program = env!("CARGO_BIN_EXE_runproof");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -f 1; exec \"$0\" certify --key k -o c.json", program]).current_dir(env.work());
    assert_ne!(env.finish(&mut command).code, 0);
    assert!(!env.work().join("c.json").exists());
    env.run(&["certify", "--key", "k", "-o", "c.json"]).sound();
    assert_eq!(verify(&env, &["--evidence", "evidence"]).code, 0);
}

fn certify_code(env: &TestEnv, key: &str) -> (i32, String) {
    let output = env.run(&["certify", "--key", key, "-o", "e.json"]);
    assert_eq!(output.code == 0, env.work().join("e.json").exists());
    (output.code, output.stderr)
}

#[test]
fn k01_k02_k03_a_key_that_others_may_have_is_refused() {
    let env = certified();
    let key = env.work().join("k");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    for bits in [0o644, 0o640, 0o620] {
        mode(&key, bits);
        let (code, text) = certify_code(&env, "k");
        assert!(code == 4 && text.contains("chmod 600"), "{text}");
    }
    mode(&key, 0o600);
    symlink("k", env.work().join("link")).unwrap();
    assert_eq!(certify_code(&env, "link").0, 4);
    mode(&env.work(), 0o777);
    assert_eq!(certify_code(&env, "k").0, 4);
    mode(&env.work(), 0o755);
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git").arg("-C").arg(env.work()).args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-f", "k"]);
    let (code, text) = certify_code(&env, "k");
    assert!(code == 2 && text.contains("git tracks it"), "{text}");
}

#[test]
fn k04_a_public_half_that_does_not_match_is_refused_by_the_room() {
    // PKCS#8 v2 holds both halves.
    let secret = runproof::certificate::SecretKey::from_seed(&[7; 32]);
    let head = [0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pem = |public: &[u8; 32]| {
        let der = [&head[..], &[7; 32], &[0x81, 0x21, 0], public].concat();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&der))
    };
    let good = pem(secret.public().as_bytes());
    assert!(runproof::certificate::SecretKey::from_pem(&good, None).is_ok());
    let other = runproof::certificate::SecretKey::from_seed(&[8; 32]).public();
    assert!(runproof::certificate::SecretKey::from_pem(&pem(other.as_bytes()), None).is_err());
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn keys_are_never_overwritten_and_an_encrypted_one_needs_its_passphrase() {
    let env = certified();
    let before = fs::read(env.work().join("k")).unwrap();
    assert_eq!(env.run(&["key", "new", "k"]).code, 4);
    assert_eq!(fs::read(env.work().join("k")).unwrap(), before);
    fs::write(env.work().join("pass"), "open sesame\n").unwrap();
    fs::write(env.work().join("wrong"), "closed\n").unwrap();
    env.run(&["key", "new", "s", "--encrypt", "--passphrase-file", "pass"]).sound();
    assert!(fs::read_to_string(env.work().join("s")).unwrap().contains("ENCRYPTED PRIVATE KEY"));
    env.run(&["certify", "--key", "s", "--passphrase-file", "pass", "-o", "e.json"]).sound();
    let output = env.run(&["certify", "--key", "s", "--passphrase-file", "wrong", "-o", "f.json"]);
    assert!(output.code == 4 && !output.stderr.contains("sesame"), "{output:?}");
}

#[test]
fn s19_s20_a_private_key_is_no_public_one_and_none_of_it_is_printed() {
    let env = certified();
    let output = env.run(&["verify", "c.json", "--key", "k"]);
    let body = fs::read_to_string(env.work().join("k")).unwrap().lines().nth(1).unwrap().to_owned();
    assert!(output.code == 4 && !output.stderr.contains(&body), "{output:?}");
    let pem = fs::read_to_string(env.work().join("k.pub")).unwrap();
    for (text, code) in [
        (pem.replace('\n', "\r\n"), 0),
        (format!("{pem}{pem}"), 4),
        (format!("{pem}junk\n"), 4),
        (format!("junk\n{pem}"), 4),
        (pem.replace("PUBLIC", "SECRET"), 4),
        (String::new(), 4),
    ] {
        fs::write(env.work().join("k.pub"), text).unwrap();
        let output = verify(&env, &[]);
        assert_eq!(output.code, code, "{output:?}");
    }
}

#[test]
fn e22_e23_what_is_no_regular_file_or_too_large_ends_at_once() {
    let env = certified();
    let started = Instant::now();
    let at = |path: &str| env.run(&["verify", path, "--key", "k.pub"]).code;
    fs::write(env.work().join("empty"), "").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(env.work().join("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(env.work().join("socket")).unwrap();
    assert_eq!([at("empty"), at("task"), at("fifo"), at("socket"), at("/dev/zero"), at("absent")], [3, 4, 4, 4, 3, 4]);
    fs::File::create(env.work().join("large")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(at("large"), 3);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn e26_a_bundle_holds_one_signature() {
    let env = certified();
    env.run(&["key", "new", "second"]).sound();
    env.run(&["certify", "--key", "k", "-o", "c.json", "--sigstore-bundle", "b.json"]).sound();
    assert!(env.work().join("b.json").exists());
    let before = report(&env, &[]).1["payload"].clone();
    env.run(&["certify", "--add-signature", "c.json", "--key", "second"]).sound();
    let both = report(&env, &[]).1;
    assert_eq!((&both["payload"], both["decision"].as_str()), (&before, Some("accepted")));
    let output = env.run(&["certify", "--add-signature", "c.json", "--key", "second", "--sigstore-bundle", "two.json"]);
    assert!(output.code == 1 && !env.work().join("two.json").exists(), "{output:?}");
}

#[test]
fn v_rows_of_the_evidence_folder() {
    let env = certified();
    let evidence = env.work().join("evidence");
    let mut blobs: Vec<_> = fs::read_dir(evidence.join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    blobs.sort();
    let with = |change: &dyn Fn(), undo: &dyn Fn()| {
        change();
        let found = report(&env, &["--evidence", "evidence"]);
        undo();
        (found.0, found.1["reason"].as_str().unwrap_or_default().to_owned())
    };
    let first = fs::read(&blobs[0]).unwrap();
    let restore = || {
        let _ = fs::remove_file(&blobs[0]);
        fs::write(&blobs[0], &first).unwrap();
    };
    let second = fs::read(&blobs[1]).unwrap();
    // V01: another valid blob under this name. V02: none.
    assert_eq!(with(&|| fs::write(&blobs[0], &second).unwrap(), &restore), (1, "blob".into()));
    assert_eq!(with(&|| fs::remove_file(&blobs[0]).unwrap(), &restore), (5, "level".into()));
    // V03: one that nobody asked for.
    let extra = evidence.join("blobs/extra");
    assert_eq!(with(&|| fs::write(&extra, "x").unwrap(), &|| fs::remove_file(&extra).unwrap()).0, 0);
    // V05: a link, even to the right bytes.
    let link = || {
        fs::write(env.work().join("copy"), &first).unwrap();
        fs::remove_file(&blobs[0]).unwrap();
        symlink(env.work().join("copy"), &blobs[0]).unwrap();
    };
    assert_eq!(with(&link, &restore), (1, "evidence".into()));
    // V09: larger than recorded, without reading it.
    let huge = || fs::OpenOptions::new().write(true).open(&blobs[0]).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(with(&huge, &restore), (1, "blob".into()));
    // M03: lines of the manifest exchanged, dropped, added. P19: the count is another one.
    let manifest = evidence.join("manifest.jsonl");
    let text = fs::read_to_string(&manifest).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let doubled = [&lines[..], &lines[lines.len() - 1..]].concat();
    for edited in [swapped, lines[1..].to_vec(), lines[..lines.len() - 1].to_vec(), doubled] {
        let edited = edited.join("\n") + "\n";
        let found = with(&|| fs::write(&manifest, &edited).unwrap(), &|| fs::write(&manifest, &text).unwrap());
        assert_eq!(found.0, 1, "{found:?}");
    }
    assert_eq!(report(&env, &["--evidence", "evidence"]).0, 0);
    assert_eq!(verify(&env, &["--evidence", "absent"]).code, 4);
}

#[test]
fn p01_the_store_of_another_run_is_refused_and_says_which_subject() {
    let env = certified();
    fs::remove_dir_all(env.work().join(".runproof")).unwrap();
    env.run(&["solve", "task", "--model", "scripted:script.jsonl", "--attempts", "5", "--quiet"]).sound();
    let (code, found) = report(&env, &["--evidence", ".runproof/transcripts.sqlite"]);
    assert_eq!((code, found["reason"].as_str()), (1, Some("manifest")), "{found}");
    assert!(found["message"].as_str().unwrap().contains("transcript.manifest"), "{found}");
}

#[test]
fn d_rows_a_store_that_is_none_is_refused() {
    let env = certified();
    let store = env.work().join("s.sqlite");
    let original = fs::read(env.work().join(".runproof/transcripts.sqlite")).unwrap();
    let code = |bytes: &[u8]| {
        fs::write(&store, bytes).unwrap();
        report(&env, &["--evidence", "s.sqlite"]).0
    };
    assert_eq!(code(&original), 0);
    // D12: damaged, cut off, not SQLite, empty. D13: another tool's.
    let mut other = original.clone();
    other[68..72].copy_from_slice(b"ABCD");
    let mut page = original.clone();
    page[4096..4600].fill(0xff);
    for bytes in [&original[..original.len() / 2], b"hello", b"", &other, &page] {
        assert_eq!(code(bytes), 1);
    }
}

/// D07 to D09, D13 and D14 as they show in `verify`; the tests of the store know many more.
#[test]
fn d_rows_of_a_store_with_something_beside_or_in_it() {
    let env = certified();
    let store = env.work().join("s.sqlite");
    fs::copy(env.work().join(".runproof/transcripts.sqlite"), &store).unwrap();
    let code = || report(&env, &["--evidence", "s.sqlite"]).0;
    assert_eq!(code(), 0);
    let good = fs::read(&store).unwrap();
    for beside in ["s.sqlite-wal", "s.sqlite-journal"] {
        fs::write(env.work().join(beside), "forged").unwrap();
        assert_eq!(code(), 1, "{beside}");
        fs::remove_file(env.work().join(beside)).unwrap();
    }
    for sql in [
        "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM event; END",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 7",
    ] {
        let connection = rusqlite::Connection::open(&store).unwrap();
        connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        assert_eq!(code(), 1, "{sql}");
        fs::write(&store, &good).unwrap();
    }
    // Another run in the store means nothing to the certificate.
    env.run(&[
        "--store",
        "s.sqlite",
        "solve",
        "task",
        "--model",
        "scripted:script.jsonl",
        "--attempts",
        "5",
        "--quiet",
    ])
    .sound();
    assert_eq!(code(), 0);
}

#[test]
fn t05_a_missing_policy_or_one_that_is_no_file_ends_at_once() {
    let env = certified();
    for policy in ["absent.json", "task"] {
        assert_eq!(env.run(&["verify", "c.json", "--policy", policy]).code, 4, "{policy}");
    }
    fs::write(env.work().join("p.json"), "").unwrap();
    assert_eq!(env.run(&["verify", "c.json", "--policy", "p.json"]).code, 3);
}

/// A hint comes from whoever wrote the envelope, and is shown: on its own line it could pass for a verdict.
#[test]
fn r05_a_hint_cannot_add_a_line_to_a_report() {
    let env = certified();
    let text = fs::read_to_string(env.work().join("c.json")).unwrap();
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let stranger = runproof::certificate::SecretKey::from_seed(&[9; 32]);
    envelope["signatures"][0]["sig"] = base64(&stranger.sign(b"")).into();
    envelope["signatures"][0]["keyid"] = "x)\naccepted at level live\u{202e}; ::error::y".into();
    fs::write(env.work().join("c.json"), envelope.to_string()).unwrap();
    for format in ["text", "github", "junit"] {
        let output = verify(&env, &["--format", format]);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stdout.contains("accepted at level live"), "the hint is shown: {output:?}");
        let is_forged = |line: &str| line.starts_with("accepted") || line.contains('\u{202e}');
        assert!(!output.stdout.lines().any(is_forged), "{output:?}");
    }
}

#[test]
fn k06_a_secret_of_the_environment_is_in_no_output() {
    let env = place(&[WRONG, RIGHT]);
    let canary = "sk-canary-0123456789abcdef";
    let reply = RIGHT.replace("add up", canary);
    fs::write(env.work().join("script.jsonl"), format!("{}\n", serde_json::json!({ "reply": reply }))).unwrap();
    let run = |args: &[&str]| env.finish(env.command(args).env("OPENAI_API_KEY", canary));
    run(&["solve", "task", "--model", "scripted:script.jsonl", "--quiet"]).sound();
    run(&["key", "new", "k"]).sound();
    let issued = run(&["certify", "--key", "k", "-o", "c.json"]).sound();
    let verified = run(&["verify", "c.json", "--key", "k.pub", "--evidence", ".runproof/transcripts.sqlite"]).sound();
    let payload = fs::read(env.work().join("c.json")).unwrap();
    let envelope = runproof::certificate::Envelope::from_bytes(&payload).unwrap();
    for text in [issued, verified, String::from_utf8(envelope.payload).unwrap()] {
        assert!(!text.contains(canary), "{text}");
    }
}

#[test]
fn the_forms_for_other_programs() {
    let env = certified();
    let annotated = verify(&env, &["--format", "github", "--evidence", "evidence"]).sound();
    assert!(annotated.starts_with("::notice file=c.json,title="), "{annotated}");
    fs::write(env.work().join("c.json"), "{}").unwrap();
    let refused = verify(&env, &["--format", "github"]);
    assert!(refused.code == 3 && refused.stdout.starts_with("::error file=c.json,title="), "{refused:?}");
    let junit = verify(&env, &["--format", "junit"]).stdout;
    assert!(junit.contains("<failure message=") && junit.ends_with("</testsuites>\n"), "{junit}");
    let summary: Value = serde_json::from_str(&verify(&env, &["--format", "vsa"]).stdout).unwrap();
    assert_eq!(summary["predicate"]["verificationResult"], "FAILED");
}

#[test]
fn r02_a_level_that_cannot_be_reached_is_not_passed() {
    let env = certified();
    let (code, found) = report(&env, &["--evidence", "evidence", "--require", "live"]);
    assert_eq!((code, found["level"].as_str()), (5, Some("replay")));
    assert_eq!([status(&found, "tests"), status(&found, "live")], ["unavailable", "skipped"]);
    assert_eq!(report(&env, &["--require", "evidence"]).0, 5);
}

#[test]
fn tests_are_run_and_models_asked_again_where_that_is_required() {
    let env = certified();
    let again = |more: &[&str]| {
        let args = ["--evidence", "evidence", "--instance", "task", "--require"];
        let (code, found) = report(&env, &[&args, more].concat());
        let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (code, word("level"), word("reason"))
    };
    assert_eq!(again(&["tests"]), (0, "tests".into(), String::new()));
    assert_eq!(again(&["live", "--model", "scripted:script.jsonl"]), (0, "live".into(), String::new()));
    // A script with other replies is another model, which cannot be asked in its place.
    let script = env.work().join("script.jsonl");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text.replacen("guess", "other", 1)).unwrap();
    assert_eq!(again(&["live", "--model", "scripted:script.jsonl"]), (5, "tests".into(), "level".into()));
    // Tests that come out otherwise are a word against the certificate.
    let held = env.work().join("task/repo/test_basket.py");
    fs::write(&held, fs::read_to_string(&held).unwrap().replace("5)", "6)")).unwrap();
    assert_eq!(again(&["tests"]), (1, "none".into(), "tests".into()));
}

#[test]
fn r06_the_verdict_does_not_depend_on_home_language_or_zone() {
    let env = certified();
    let mut command = env.command(&["verify", "c.json", "--key", "k.pub", "--evidence", "evidence"]);
    command.env_remove("HOME").env("LANG", "C").env("TZ", "Pacific/Apia");
    assert_eq!(env.finish(&mut command).code, 0);
}
