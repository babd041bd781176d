//! `solve` on a repository of one's own, its configuration, and what a signal leaves.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

const TEST: &str = "python3 -m unittest -v";

fn git(env: &TestEnv, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(env.work().join("project")).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?} {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A committed project with one failing test, beside a script of replies.
fn project(replies: &[&str]) -> TestEnv {
    let env = place(replies);
    fs::rename(env.work().join("task/repo"), env.work().join("project")).unwrap();
    git(&env, &["init", "-q", "."]);
    git(&env, &["add", "-A"]);
    git(&env, &["commit", "-qm", "base"]);
    env
}

fn solve<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let own = ["solve", "--issue", "Only the last price counts.", "--repo", "project", "--test-command", TEST];
    let model = ["--model", "scripted:script.jsonl", "--json", "--quiet"];
    own.into_iter().chain(model).chain(more.iter().copied()).collect()
}

fn outcome(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|_| panic!("{stdout}"))
}

#[test]
fn the_users_files_stay_as_they_are_until_a_patch_is_asked_for() {
    let env = project(&[WRONG, RIGHT]);
    let value = outcome(&env.run(&solve(&[])).sound());
    assert_eq!((&value["outcome"], value["attempts"].as_array().unwrap().len()), (&json!("resolved"), 2));
    assert_eq!(git(&env, &["status", "--porcelain"]), "");

    let again = env.run(&["replay", "last", "--tree", "--tests", "--repo", "project", "--json"]).sound();
    let again = outcome(&again);
    assert_eq!((&again["equal"], &again["not_recomputed"]), (&json!(true), &json!(["model identity", "model calls"])));

    outcome(&env.run(&solve(&["--apply"])).sound());
    assert_eq!(git(&env, &["status", "--porcelain"]), " M basket.py\n");
}

#[test]
fn folders_beside_the_tree_are_seen_and_recorded_and_never_written() {
    let env = project(&[RIGHT]);
    let packages = env.work().join("project/node_modules/one");
    fs::create_dir_all(&packages).unwrap();
    fs::write(packages.join("value.py"), "VALUE = 5\n").unwrap();
    fs::write(env.work().join("project/.gitignore"), "node_modules\n").unwrap();
    let test = env.work().join("project/test_basket.py");
    let text = fs::read_to_string(&test).unwrap();
    fs::write(
        &test,
        format!("open('node_modules/one/value.py').close()\nopen('node_modules/new', 'w').close()\n{text}"),
    )
    .unwrap();
    git(&env, &["add", "-A"]);
    git(&env, &["commit", "-qm", "packages"]);
    let value = outcome(&env.run(&solve(&[])).sound());
    assert_eq!(value["outcome"], json!("resolved"), "{value}");
    assert!(!env.work().join("project/node_modules/new").exists());

    fs::write(packages.join("value.py"), "VALUE = 6\n").unwrap();
    let replay = env.run(&["replay", "last", "--tests", "--repo", "project"]);
    assert_eq!(replay.code, 4, "{replay:?}");
    assert!(replay.stderr.contains("node_modules is not what it was"), "{replay:?}");
}

#[test]
fn a_repository_that_cannot_be_started_from_is_refused_with_a_hint() {
    let env = project(&[RIGHT]);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--include", "nothing"], 2, "is no folder of"),
        (&["--include", "../x"], 2, "is no folder of"),
        (&["--base", "0123456789"], 4, "is not in"),
        (&["--log-parser", "tea"], 2, "known log parser"),
    ];
    for (more, code, message) in cases {
        let output = env.run(&solve(more));
        assert_eq!(output.code, *code, "{output:?}");
        assert!(output.stderr.contains(message), "{output:?}");
    }
    fs::write(env.work().join("project/basket.py"), "changed\n").unwrap();
    let dirty = env.run(&solve(&[]));
    assert!(dirty.code == 4 && dirty.stderr.contains("uncommitted") && dirty.stderr.contains("--base"), "{dirty:?}");
    outcome(&env.run(&solve(&["--base", "HEAD"])).sound());

    fs::create_dir(env.work().join("project/sub")).unwrap();
    let mut inside = solve(&[]);
    inside[4] = "project/sub";
    let inside = env.run(&inside);
    assert!(inside.code == 4 && inside.stderr.contains("is inside the repository"), "{inside:?}");
    let mut nowhere = solve(&[]);
    nowhere[4] = "task";
    let nowhere = env.run(&nowhere);
    assert!(nowhere.code == 4 && nowhere.stderr.contains("git init"), "{nowhere:?}");
    let output =
        env.run(&["solve", "--issue", "missing.md", "--repo", "project", "--test-command", TEST, "--base", "HEAD"]);
    assert!(output.code == 2 && output.stderr.contains("hint:"), "{output:?}");
    git(&env, &["clone", "-q", "--bare", ".", "../bare"]);
    let mut bare = solve(&[]);
    bare[4] = "bare";
    let bare = env.run(&bare);
    assert!(bare.code == 4 && bare.stderr.contains("without a work tree"), "{bare:?}");
    let output = env.run(&["solve", "--issue", "It is wrong.", "--repo", "project"]);
    assert!(output.code == 2 && output.stderr.contains("--test-command"), "{output:?}");
}

/// Three runs, hence close to a second each.
#[test]
fn an_option_comes_before_the_environment_and_that_before_the_file() {
    let env = project(&[RIGHT]);
    let file =
        format!("attempts = 2\ntest_command = \"{TEST}\"\nmodel = \"scripted:script.jsonl\"\nrepo = \"project\"\n");
    fs::write(env.work().join("runproof.toml"), file).unwrap();
    for (variable, option, expected) in
        [(None, None, "direct-2"), (Some("3"), None, "direct-3"), (Some("3"), Some("4"), "direct-4")]
    {
        let mut command = env.command(&["solve", "--issue", "It is wrong.", "--json", "--quiet"]);
        command.envs(variable.map(|value| ("RUNPROOF_ATTEMPTS", value)));
        command.args(option.map(|value| format!("--attempts={value}")));
        assert_eq!(outcome(&env.finish(&mut command).sound())["arm"], json!(expected));
    }
}

#[test]
fn a_file_with_a_mistake_stops_everything_and_shows_its_line() {
    let env = TestEnv::new();
    fs::write(env.work().join("runproof.toml"), "# mine\nmodell = \"x\"\n").unwrap();
    let output = env.run(&["log"]);
    assert_eq!(output.code, 3);
    assert!(
        output.stderr.contains("runproof.toml:2: unknown key `modell`") && output.stderr.contains("`model`?"),
        "{output:?}"
    );
    fs::write(env.work().join("other.toml"), "store = \"mine.sqlite\"\n").unwrap();
    let output = env.run(&["--config", "other.toml", "log"]);
    assert!(output.stderr.contains("mine.sqlite"), "{output:?}");
    assert_eq!(env.run(&["--config", "missing.toml", "log"]).code, 4);
}

#[test]
fn an_arm_of_the_file_holds_until_a_better_place_says_otherwise() {
    let env = project(&["nothing", RIGHT]);
    let file =
        "arm = \"direct-6+skills\"\nskills = \"default\"\nmodel = \"scripted:script.jsonl\"\nrepo = \"project\"\n";
    fs::write(env.work().join("runproof.toml"), file).unwrap();
    let own = ["solve", "--issue", "It is wrong.", "--test-command", TEST, "--json", "--quiet"];
    assert_eq!(outcome(&env.run(&own).sound())["arm"], json!("direct-6+skills"));
    let patch = env.run(&[&own[..], &["--arm", "patch"]].concat());
    assert_eq!((patch.code, &outcome(&patch.stdout)["arm"]), (1, &json!("patch")), "the file's skills are left out");
    let both = env.run(&[&own[..], &["--arm", "patch", "--skills", "default"]].concat());
    assert!(both.code == 2 && both.stderr.contains("has no skills") && both.stderr.contains("hint:"), "{both:?}");
    let against = env.run(&[&own[..], &["--attempts", "3"]].concat());
    assert!(against.code == 2 && against.stderr.contains("runproof.toml"), "{against:?}");

    std::os::unix::fs::symlink("/etc", env.work().join("elsewhere")).unwrap();
    fs::write(env.work().join("runproof.toml"), "skills = \"elsewhere\"\n").unwrap();
    let foreign = env.run(&["log"]);
    assert!(foreign.code == 2 && foreign.stderr.contains("skills elsewhere"), "{foreign:?}");
}

#[test]
fn no_program_of_the_repositorys_configuration_is_run() {
    let env = project(&[RIGHT]);
    let library = env.work().join("library");
    fs::create_dir(&library).unwrap();
    fs::write(library.join("a.txt"), "x\n").unwrap();
    let path = library.to_string_lossy().into_owned();
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "x"]] {
        git(&env, &[&["-C", &path], args].concat());
    }
    git(&env, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "lib"]);
    fs::write(env.work().join("project/.gitattributes"), "*.py filter=one\n*.bin filter=a.b=c\n").unwrap();
    fs::write(env.work().join("project/b.bin"), "b").unwrap();
    fs::write(env.work().join("project/.git/modules/lib/info/attributes"), "* filter=one\n").unwrap();
    git(&env, &["add", "-A"]);
    git(&env, &["commit", "-qm", "filtered"]);
    let marker = env.work().join("executed");
    let evil = format!("touch '{}'; cat", marker.display());
    let keys = ["filter.one.clean", "filter.one.smudge", "filter.a.b=c.process", "core.fsmonitor", "core.sshCommand"];
    for key in keys.into_iter().chain(["diff.external", "core.pager", "credential.helper"]) {
        git(&env, &["config", key, &evil]);
        git(&env, &["-C", "lib", "config", key, &evil]);
    }
    git(&env, &["config", "filter.one.required", "true"]);
    // Git looks into files whose times are not those that it noted.
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["basket.py", "b.bin", "lib/a.txt"] {
        fs::File::open(env.work().join("project").join(name)).unwrap().set_modified(old).unwrap();
    }
    outcome(&env.run(&solve(&[])).sound());
    outcome(&env.run(&solve(&["--apply"])).sound());
    assert!(!marker.exists(), "a program of the repository was run");
    assert!(fs::read_to_string(env.work().join("project/basket.py")).unwrap().contains("result += price"));
}

/// The command sleeps until the signal comes.
#[test]
fn a_signal_ends_the_tests_and_leaves_a_sound_store_and_how_to_go_on() {
    let reference = project(&[RIGHT]);
    outcome(&reference.run(&solve(&[])).sound());
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let env = project(&[RIGHT]);
        let marker = format!("{}", 70_000 + std::process::id());
        let hanging = format!("sleep {marker}");
        let mut child = env
            .command(&["solve", "--issue", "Only the last price counts.", "--repo", "project", "--json"])
            .args(["--test-command", &hanging, "--model", "scripted:script.jsonl"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait("the test command starts", || is_running(&marker));
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code));
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
        assert!(stderr.contains("interrupted") && stderr.contains("--resume"), "{stderr}");
        wait("the test command ends", || !is_running(&marker));
        env.run(&["store", "verify"]).sound();
        let work = env.work().join(".runproof/work");
        assert_eq!(fs::read_dir(work).map_or(0, Iterator::count), 0, "the worktree is taken away");
        let kinds = |env: &TestEnv| -> Vec<Value> {
            let events = env.run(&["log", "last", "--json"]).sound();
            events.lines().map(|line| outcome(line)["kind"].clone()).collect()
        };
        assert_eq!(kinds(&env), kinds(&reference)[..4], "nothing is recorded of the test that was ended");
    }
}

fn is_running(marker: &str) -> bool {
    let output = Command::new("pgrep").args(["-f", &format!("^sleep {marker}$")]).output().unwrap();
    output.status.success()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(20));
    }
}
