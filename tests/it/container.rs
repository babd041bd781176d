//! Tests in containers, with a program in the engine's place that writes down what it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runproof::gate::{Container, Engine, EngineKind, Exceeded, GateError, Level, Limits, Owner};
use tempfile::TempDir;

use super::env::TestEnv;
use super::gate::request;

const ID: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "sha256:ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Puts the program into a folder, under the name of an engine.
fn install(folder: &Path, name: &str) {
    fs::create_dir_all(folder.join("state/images")).unwrap();
    fs::create_dir_all(folder.join("state/containers")).unwrap();
    fs::write(folder.join(name), include_str!("engine.sh")).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Has the engine hold an image.
fn hold(folder: &Path, name: &str, id: &str) {
    for name in [name, id] {
        fs::write(folder.join("state/images").join(name.replace(['/', ':'], "_")), id).unwrap();
    }
}

fn containers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("state/containers")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// A folder with an engine and a worktree.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        install(place.0.path(), "docker");
        hold(place.0.path(), "mine:1", ID);
        fs::create_dir(place.worktree()).unwrap();
        fs::write(place.worktree().join("file"), "base\n").unwrap();
        place
    }

    fn worktree(&self) -> PathBuf {
        self.0.path().join("worktree")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("state").join(name), text).unwrap();
    }

    fn engine(&self) -> Engine {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let owner = Owner::of_process("here".to_owned(), std::process::id());
        Engine::find(None, path.as_ref(), BTreeMap::new(), owner).unwrap()
    }

    fn container(&self) -> Container {
        let engine = self.engine();
        let image = engine.image("mine:1").unwrap();
        Container::new(engine, image)
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.path().join("state/calls")).unwrap_or_default()
    }
}

#[test]
fn a_container_is_made_with_no_more_than_it_needs() {
    let place = Place::new();
    let mut request = request("cat file; exit 3");
    request.env.insert("EXTRA".to_owned(), "{worktree}/src".to_owned());
    request.generated.insert("made.py".to_owned(), "x = 1\n".to_owned());
    let execution = place.container().run(&place.worktree(), &request).unwrap();
    assert_eq!((execution.exit, execution.signal, execution.sandbox), (Some(3), None, Level::Container));
    assert_eq!(execution.log, b"base\n");
    assert_eq!(containers(place.0.path()), [""; 0], "it is removed");

    let words = fs::read(place.0.path().join("state/words")).unwrap();
    let words = String::from_utf8(words).unwrap();
    let words: Vec<&str> = words.split_terminator('\0').collect();
    let name = words[words.iter().position(|word| *word == "--name").unwrap() + 1];
    assert!(name.starts_with(&format!("runproof-here-{}-", std::process::id())), "{name}");
    let at = words.iter().position(|word| *word == ID).unwrap();
    let shown = words[..at].iter().map(|word| if *word == name { "NAME" } else { word }).collect::<Vec<_>>().join(" ");
    assert_eq!(
        shown,
        "container create --interactive --pull never --name NAME --label runproof --network none --hostname runproof \
         --user 0:0 --workdir / --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add KILL \
         --cap-add SETGID --cap-add SETUID --security-opt no-new-privileges --pids-limit 2048 --memory 8589934592 \
         --memory-swap 8589934592 --ulimit fsize=2214592512:2214592512 --ulimit nofile=4096:4096 --ulimit core=0:0 \
         --log-driver none --entrypoint /bin/sh --env CARGO_NET_OFFLINE=true --env EXTRA=/testbed/src --env \
         GOPROXY=off --env GOTOOLCHAIN=local --env LANG=C.UTF-8 --env LC_ALL=C.UTF-8 --env \
         PATH=/usr/local/bin:/usr/bin:/bin --env PYTHONDONTWRITEBYTECODE=1 --env PYTHONHASHSEED=0 --env TMPDIR=/tmp \
         --env TZ=UTC --no-healthcheck"
    );
    assert_eq!(words[at + 1], "-c");
    assert_eq!(words[at + 3..], ["sh", &format!("{name} begins"), "cat file; exit 3", "yes"]);
    assert_eq!(fs::read_to_string(place.worktree().join("file")).unwrap(), "base\n");
}

#[test]
fn the_codes_of_the_command_are_not_those_of_the_engine() {
    let place = Place::new();
    for code in [0, 1, 125, 126, 127, 137] {
        let execution = place.container().run(&place.worktree(), &request(&format!("exit {code}"))).unwrap();
        assert_eq!((execution.exit, execution.exceeded), (Some(code), None));
    }
    let execution = place.container().run(&place.worktree(), &request("exit 153")).unwrap();
    assert_eq!((execution.exit, execution.exceeded), (None, Some(Exceeded::FileSize)));
    place.put("broken", "");
    let error = place.container().run(&place.worktree(), &request("exit 0")).unwrap_err();
    assert!(matches!(&error, GateError::Engine { said, .. } if said.contains("no runtime")), "{error}");
    assert_eq!(containers(place.0.path()), [""; 0]);
}

#[test]
fn what_is_too_much_ends_the_container_by_its_name() {
    let place = Place::new();
    place.put("oom", "");
    let execution = place.container().run(&place.worktree(), &request("exit 137")).unwrap();
    assert_eq!((execution.exit, execution.exceeded), (None, Some(Exceeded::Memory)));

    let mut flood = request("while :; do echo flood; done");
    flood.log_cap = 100_000;
    let execution = place.container().run(&place.worktree(), &flood).unwrap();
    assert_eq!((execution.truncated, execution.log.len()), (true, 100_000));
    assert_eq!(containers(place.0.path()), [""; 0]);
}

#[test]
fn a_hanging_command_is_ended_after_the_second_that_it_has() {
    let place = Place::new();
    let mut hanging = request("echo begun; sleep 100");
    hanging.timeout_seconds = 1;
    let execution = place.container().run(&place.worktree(), &hanging).unwrap();
    assert_eq!((execution.timed_out, execution.exit), (true, None));
    assert_eq!(execution.log, b"begun\n");
    assert_eq!(containers(place.0.path()), [""; 0]);
}

/// Processes and what was written are looked at every two seconds.
#[test]
fn processes_and_what_was_written_are_looked_at_which_takes_seconds() {
    let place = Place::new();
    for (name, exceeded) in [("processes", Exceeded::Processes), ("size", Exceeded::Disk)] {
        place.put(name, "5000000000");
        if name == "processes" {
            place.put(name, "12");
        }
        let container = place.container().with_limits(Limits { processes: 10, ..Limits::default() });
        let execution = container.run(&place.worktree(), &request("sleep 100")).unwrap();
        assert_eq!((execution.exit, execution.exceeded), (None, Some(exceeded)));
        fs::remove_file(place.0.path().join("state").join(name)).unwrap();
    }
}

#[test]
fn images_are_known_by_their_content() {
    let place = Place::new();
    let engine = place.engine();
    assert_eq!(engine.image("mine:1").unwrap().id, ID);
    assert!(matches!(engine.image("other:1"), Err(GateError::ImageMissing(name)) if name == "other:1"));
    assert!(matches!(engine.image("--help"), Err(GateError::ImageName(_))));
    let nowhere = Engine::find(
        Some(EngineKind::Podman),
        "/nonexistent".as_ref(),
        BTreeMap::new(),
        Owner::of_process("here".to_owned(), 1),
    );
    assert!(matches!(nowhere, Err(GateError::EngineMissing(program)) if program == "podman"));
}

#[test]
fn what_dead_processes_left_is_removed_and_nothing_else() {
    let place = Place::new();
    let own = std::process::id();
    let live =
        format!("runproof-here-{own}-{}", fs::read_to_string("/proc/self/stat").unwrap().split(' ').nth(21).unwrap());
    for name in ["runproof-here-4194300-1-0", "runproof-there-4194300-1-0", "somebody", &format!("{live}-7")] {
        fs::create_dir(place.0.path().join("state/containers").join(name)).unwrap();
    }
    assert_eq!(place.engine().remove_stale().unwrap(), 1);
    let mut left = containers(place.0.path());
    left.sort();
    assert_eq!(left, [format!("{live}-7"), "runproof-there-4194300-1-0".to_owned(), "somebody".to_owned()]);
    place.engine().remove_own();
    assert_eq!(containers(place.0.path()).len(), 2);
    assert!(place.calls().contains("container rm --force --volumes runproof-here-4194300-1-0"));
}

/// A task whose tests run in an image, with an engine on the search path of the command that is returned.
fn task(env: &TestEnv, test_command: &str, more: &str) {
    let folder = env.work().join("task");
    fs::create_dir_all(folder.join("repo")).unwrap();
    fs::write(folder.join("repo/a.py"), "a = 1\n").unwrap();
    let test =
        "import unittest, a\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(a.a, 2)\n";
    fs::write(folder.join("repo/t.py"), test).unwrap();
    fs::write(folder.join("issue.md"), "It should be 2.\n").unwrap();
    let settings = format!("id = \"task\"\ntest_command = {test_command:?}\n{more}");
    fs::write(folder.join("task.toml"), settings).unwrap();
    fs::write(folder.join("fix.patch"), "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n").unwrap();
    install(&env.work().join("bin"), "docker");
}

fn command(env: &TestEnv, words: &[&str]) -> std::process::Command {
    let mut command = env.command(words);
    command.env("PATH", format!("{}:{}", env.work().join("bin").display(), std::env::var("PATH").unwrap()));
    command
}

const TESTS: &str = "python3 -m unittest -v t";

#[test]
fn an_image_that_is_not_here_is_fetched_by_prepare_and_recorded_by_its_content() {
    let env = TestEnv::new();
    task(&env, TESTS, "image = \"mine:1\"\nfail_to_pass = [\"test_a (t.T.test_a)\"]\n");
    let bin = env.work().join("bin");
    let validate = || env.finish(&mut command(&env, &["bench", "validate", "task", "--json"]));
    let missing = validate();
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(missing.stdout.contains("the image mine:1 is not here"), "{missing:?}");
    let failed = env.finish(&mut command(&env, &["prepare", "task"]));
    assert!(failed.code == 4 && failed.stderr.contains("mine:1: not there, for task: "), "{failed:?}");

    fs::write(bin.join("state/registry"), ID).unwrap();
    let fetched = env.finish(&mut command(&env, &["prepare", "task", "--json"])).sound();
    let expected = format!("{{\"image\":\"mine:1\",\"image_id\":\"{ID}\",\"fetched\":true,");
    assert!(fetched.starts_with(&expected), "{fetched}");
    assert!(
        env.finish(&mut command(&env, &["prepare", "task"])).sound().contains("mine:1  was there, sha256:00112233")
    );
    let valid = validate();
    assert_eq!(valid.code, 0, "{valid:?}");
    let shown = env.run(&["show", "last", "--event", "3", "--body", "request"]);
    assert!(shown.stdout.contains(&format!("image:{ID}")), "{shown:?}");
    assert!(validate().stdout.contains("\"known\":true"));

    // Another content under the same name is another environment, and refused where the instance says which it must be.
    hold(&bin, "mine:1", OTHER);
    assert!(validate().stdout.contains("\"known\":false"));
    let settings = fs::read_to_string(env.work().join("task/task.toml")).unwrap();
    fs::remove_file(bin.join("state/images").join(ID.replace(':', "_"))).unwrap();
    fs::write(env.work().join("task/task.toml"), format!("{settings}image_id = \"{ID}\"\n")).unwrap();
    let refused = env.finish(&mut command(&env, &["bench", "validate", "task", "--json", "--again"]));
    assert!(refused.stdout.contains(&format!("the image mine:1 has the content {OTHER}, not {ID}")), "{refused:?}");
}

#[test]
fn an_interrupted_run_leaves_no_container() {
    let env = TestEnv::new();
    let started = env.work().join("started");
    task(&env, &format!("touch {}; sleep 100", started.display()), "");
    hold(&env.work().join("bin"), "mine:1", ID);
    let words = ["bench", "validate", "task", "--image", "mine:1"];
    let mut child = command(&env, &words).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !started.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its tests began");
        std::thread::yield_now();
    }
    assert_eq!(containers(&env.work().join("bin")).len(), 1);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(containers(&env.work().join("bin")), [""; 0]);

    // One that is killed takes nothing away; the next one does.
    fs::remove_file(&started).unwrap();
    let mut child = command(&env, &words).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !started.exists() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(containers(&env.work().join("bin")).len(), 1);
    let next = env.finish(&mut command(&env, &["prepare", "task", "--image", "mine:1"]));
    assert!(next.code == 0 && next.stderr.contains("removed 1 container"), "{next:?}");
    assert_eq!(containers(&env.work().join("bin")), [""; 0]);
}

#[test]
fn a_setup_command_is_run_once_with_leave_and_its_programs_come_first() {
    let env = TestEnv::new();
    let setup = "test -f a.py && mkdir -p $ENVIRONMENT/bin && echo again >> ../../count && printf '#!/bin/sh\\nexec \
                 python3 -m unittest -v t\\n' > $ENVIRONMENT/bin/judge && chmod +x $ENVIRONMENT/bin/judge";
    let more = format!("env_setup = {setup:?}\nlog_parser = \"unittest\"\nfail_to_pass = [\"test_a (t.T.test_a)\"]\n");
    task(&env, "judge", &more);
    let validate = || env.run(&["bench", "validate", "task", "--json"]);
    assert!(validate().stdout.contains("the environment task is not built"));
    let refused = env.run(&["prepare", "task"]);
    assert!(refused.code == 4 && refused.stderr.contains("the command was not run: test -f a.py"), "{refused:?}");
    assert!(refused.stderr.contains("hint: read it, and allow such commands with --setup"), "{refused:?}");
    let built = env.run(&["prepare", "task", "--setup", "--json"]).sound();
    assert!(built.contains("\"built\":true"), "{built}");
    assert!(env.run(&["prepare", "task", "--setup"]).sound().contains("was there, for 1 instance"));
    let environments = env.work().join(".runproof/environments");
    assert_eq!(fs::read_to_string(environments.join("count")).unwrap(), "again\n", "it runs once, beside the tree");
    assert_eq!(validate().code, 0);
    let shown = env.run(&["show", "last", "--event", "3", "--body", "request"]).sound();
    assert!(shown.contains("\"environment\":\"setup-"), "{shown}");

    let settings = fs::read_to_string(env.work().join("task/task.toml")).unwrap();
    fs::write(env.work().join("task/task.toml"), settings.replace("test -f a.py", "echo lost >&2; exit 3")).unwrap();
    let failed = env.run(&["prepare", "task", "--setup"]);
    assert!(failed.code == 4 && failed.stderr.contains("lost"), "{failed:?}");
    let left = fs::read_dir(&environments).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("new") || name.to_string_lossy().contains("tree")
    });
    assert_eq!(left.count(), 0, "nothing half-made is left");
}
