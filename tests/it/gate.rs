//! Test commands in the sandbox: real processes, real namespaces.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use runproof::canon::Blake3;
use runproof::gate::{
    Exceeded, Execution, GateError, Level, Limits, Parser, Sandbox, TestRequest, normalise, report, run,
};
use tempfile::TempDir;

fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// A scratch folder with a worktree in it, readable by everybody.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(place.folder.path().join("scratch")).unwrap();
        fs::create_dir(place.worktree()).unwrap();
        for (name, text) in files {
            fs::write(place.worktree().join(name), text).unwrap();
        }
        place
    }

    fn worktree(&self) -> PathBuf {
        self.folder.path().join("worktree")
    }

    /// The sandbox of a level, or nothing, said aloud, where this machine does not give it.
    fn sandbox(&self, level: Option<Level>) -> Option<Sandbox> {
        let shim = Path::new(env!("CARGO_BIN_EXE_runproof"));
        match Sandbox::open(level, shim, &self.folder.path().join("scratch"), &search_path()) {
            Ok(sandbox) => Some(sandbox),
            Err(error) => {
                eprintln!("SKIPPED: {error}");
                None
            }
        }
    }

    fn run(&self, level: Option<Level>, request: &TestRequest) -> Option<Execution> {
        let execution = run(&self.sandbox(level)?, &self.worktree(), None, request).unwrap();
        let left = fs::read_dir(self.folder.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "a run leaves nothing in the scratch folder");
        Some(execution)
    }
}

pub(crate) fn request(command: &str) -> TestRequest {
    TestRequest {
        command: command.to_owned(),
        env: BTreeMap::new(),
        environment: None,
        generated: BTreeMap::new(),
        included: BTreeMap::new(),
        timeout_seconds: 60,
        log_cap: 1 << 20,
        tree: Blake3::of(b""),
        stage: "red".to_owned(),
    }
}

fn text(execution: &Execution) -> String {
    String::from_utf8_lossy(&execution.log).into_owned()
}

const NAMESPACES: [Level; 2] = [Level::NamespacesAndLandlock, Level::Namespaces];

#[test]
fn every_level_runs_a_command_and_keeps_exit_signal_and_order() {
    let place = Place::new(&[]);
    for level in Level::ALL {
        let Some(execution) = place.run(Some(level), &request("echo out; echo err >&2; echo again; exit 3")) else {
            continue;
        };
        assert_eq!(text(&execution), "out\nerr\nagain\n", "{level}");
        assert_eq!((execution.exit, execution.signal, execution.sandbox), (Some(3), None, level));
        let killed = place.run(Some(level), &request("kill -SEGV $$")).unwrap();
        assert_eq!((killed.exit, killed.signal), (None, Some(11)), "{level}: {}", text(&killed));
        let missing = place.run(Some(level), &request("no-such-program")).unwrap();
        assert_eq!(missing.exit, Some(127), "{level}");
    }
}

#[test]
fn the_environment_is_fixed_and_no_host_path_shows() {
    let mut logs = Vec::new();
    for _ in 0..2 {
        let place = Place::new(&[("file", "")]);
        let mut request = request("env | sort | grep -v ^PATH=; pwd; ls; id -u; hostname; echo $EXTRA");
        request.env.insert("EXTRA".to_owned(), "{worktree}/src".to_owned());
        for level in Level::ALL {
            let Some(execution) = place.run(Some(level), &request) else { continue };
            if level.has_namespaces() {
                logs.push(text(&execution));
            }
            let folder = place.folder.path().to_string_lossy().into_owned();
            assert!(!text(&execution).contains(&folder), "{level}: {}", text(&execution));
            assert!(text(&execution).contains("\n/testbed/src\n"), "{level}: {}", text(&execution));
        }
    }
    logs.dedup();
    assert!(logs.len() <= 1, "{logs:?}");
    if let Some(log) = logs.first() {
        assert!(
            log.contains("HOME=/home/runproof\n")
                && log.contains("TZ=UTC\n")
                && log.ends_with("/testbed\nfile\n0\nrunproof\n/testbed/src\n"),
            "{log}"
        );
    }
}

#[test]
fn writes_go_to_the_worktree_and_the_temp_folders_only() {
    let place = Place::new(&[("file", "before")]);
    let outside = place.folder.path().join("outside");
    fs::write(&outside, "before").unwrap();
    let tries = format!(
        "echo x > file && echo tree; echo x > $TMPDIR/a && echo temp; echo x > $HOME/a && echo home; \
         (echo x > {0}) 2>/dev/null || echo no-host; (echo x > /usr/x) 2>/dev/null || echo no-usr; \
         (echo x > /etc/passwd) 2>/dev/null || echo no-etc; mount -o remount,rw,bind /usr 2>/dev/null || echo no-mount; \
         cat {0} 2>/dev/null || echo unseen",
        outside.display()
    );
    for level in [Level::NamespacesAndLandlock, Level::Namespaces, Level::Landlock] {
        let Some(execution) = place.run(Some(level), &request(&tries)) else { continue };
        let expected = ["tree", "temp", "home", "no-host", "no-usr", "no-etc", "no-mount", "unseen"];
        assert_eq!(text(&execution).lines().collect::<Vec<_>>(), expected, "{level}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "before", "{level}");
        if level.has_namespaces() {
            assert_eq!(fs::read_to_string(place.worktree().join("file")).unwrap(), "before", "{level}");
        }
    }
}

#[test]
fn only_the_loopback_interface_is_there() {
    let program = "\
import socket, threading
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c = socket.create_connection(s.getsockname()); print('loopback')
try: socket.create_connection(('192.0.2.1', 80), timeout=2)
except OSError as error: print(type(error).__name__, error.errno)
";
    let place = Place::new(&[("net.py", program)]);
    for level in NAMESPACES {
        let Some(execution) = place.run(Some(level), &request("python3 net.py")) else { continue };
        assert_eq!(text(&execution), "loopback\nOSError 101\n", "{level}");
    }
}

#[test]
fn a_hanging_command_is_killed_with_everything_it_started_within_a_second_or_two() {
    let place = Place::new(&[]);
    for level in Level::ALL {
        let mark = unique_seconds(1);
        let command =
            format!("setsid sleep {mark} & (trap '' TERM HUP INT; sleep {mark}) & echo started; sleep {mark}");
        let mut request = request(&command);
        request.timeout_seconds = 1;
        let Some(execution) = place.run(Some(level), &request) else { continue };
        assert!(execution.timed_out && !execution.truncated, "{level}");
        assert_eq!((text(&execution).as_str(), execution.exit), ("started\n", None), "{level}");
        assert_eq!(left_running(&mark), Vec::<String>::new(), "{level}");
    }
}

#[test]
fn a_daemon_does_not_outlive_its_test() {
    let place = Place::new(&[]);
    for level in Level::ALL {
        let mark = unique_seconds(2);
        let command = format!("(setsid sh -c 'sleep {mark} </dev/null >/dev/null 2>&1 &' &) ; echo done");
        let Some(execution) = place.run(Some(level), &request(&command)) else { continue };
        assert_eq!((text(&execution).as_str(), execution.exit), ("done\n", Some(0)), "{level}");
        assert_eq!(running(&mark), Vec::<String>::new(), "{level}");
    }
}

#[test]
fn generated_files_are_there_for_the_run_and_never_replace_the_trees_own() {
    let place = Place::new(&[("own.py", "own\n")]);
    for level in Level::ALL {
        let mut request = request("cat own.py src/_version.py");
        request.generated = BTreeMap::from([("own.py", "generated\n"), ("src/_version.py", "version\n")])
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect();
        let Some(execution) = place.run(Some(level), &request) else { continue };
        assert_eq!(text(&execution), "own\nversion\n", "{level}");
        request.generated = BTreeMap::from([("../outside".to_owned(), String::new())]);
        assert!(run(&place.sandbox(Some(level)).unwrap(), &place.worktree(), None, &request).is_err(), "{level}");
    }
}

#[test]
fn a_flood_stops_at_the_cap() {
    let place = Place::new(&[]);
    for level in Level::ALL {
        let mut request = request("yes");
        request.log_cap = 100_001;
        let Some(execution) = place.run(Some(level), &request) else { continue };
        assert!(execution.truncated && !execution.timed_out, "{level}");
        assert_eq!((execution.log.len(), execution.exit), (100_001, None), "{level}");
        assert_eq!(execution.log[..4], *b"y\ny\n");
    }
    let mut exact = request("printf 12345");
    exact.log_cap = 5;
    let execution = place.run(None, &exact);
    assert!(execution.is_none_or(|execution| !execution.truncated && execution.exit == Some(0)));
}

#[test]
fn a_large_file_and_a_core_hit_their_limits() {
    let place = Place::new(&[]);
    for level in Level::ALL {
        let Some(execution) = place.run(Some(level), &request("ulimit -c; ulimit -f; ulimit -n")) else { continue };
        assert_eq!(text(&execution), "0\n4325376\n4096\n", "{level}");
    }
}

/// Small limits, so that reaching them takes no time and does no harm.
fn small() -> Limits {
    Limits {
        file_bytes: 48 << 20,
        memory_bytes: 200 << 20,
        processes: 60,
        written_bytes: 16 << 20,
        written_files: 500,
        ..Limits::default()
    }
}

/// Runs a hostile command with small limits at every level and says what ended it.
fn attack(command: &str) -> Vec<(Level, Execution)> {
    let mut ends = Vec::new();
    for level in Level::ALL {
        let place = Place::new(&[]);
        let Some(sandbox) = place.sandbox(Some(level)) else { continue };
        let mark = unique_seconds(3);
        let request = request(&command.replace("MARK", &mark));
        let execution = run(&sandbox.with_limits(small()), &place.worktree(), None, &request).unwrap();
        assert_eq!(left_running(&mark), Vec::<String>::new(), "{level}");
        let left = fs::read_dir(place.folder.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "{level}: a run leaves nothing in the scratch folder");
        ends.push((level, execution));
    }
    ends
}

#[test]
fn a_fork_bomb_is_ended_as_one() {
    // Each process starts two that do the same; without a limit there would be no end to it.
    let bomb = "import os, time\nfor _ in range(12):\n    try: os.fork()\n    except OSError: pass\ntime.sleep(MARK)\n";
    for (level, execution) in attack(&format!("exec python3 -c '{bomb}'")) {
        assert_eq!((execution.exceeded, execution.exit), (Some(Exceeded::Processes), None), "{level}");
    }
}

#[test]
fn memory_is_bounded_over_all_processes() {
    let greedy = "import os, time\nfor _ in range(3):\n    os.fork()\nx = bytearray(40 << 20)\nfor i in range(0, len(x), 4096):\n    x[i] = 1\ntime.sleep(MARK)\n";
    for (level, execution) in attack(&format!("exec python3 -c '{greedy}'")) {
        assert_eq!((execution.exceeded, execution.exit), (Some(Exceeded::Memory), None), "{level}");
    }
}

#[test]
fn one_large_file_and_many_small_ones_end_at_the_same_limit() {
    for command in [
        "exec head -c 20000000000 /dev/zero > large",
        "i=0; while :; do head -c 2000000 /dev/zero > $TMPDIR/$i; i=$((i+1)); done",
        "i=0; while :; do : > $HOME/$i; i=$((i+1)); done",
        // Removed while it is open: no folder shows it.
        "exec 3> gone; rm gone; head -c 30000000 /dev/zero >&3; sleep MARK",
    ] {
        for (level, execution) in attack(command) {
            assert_eq!((execution.exceeded, execution.exit), (Some(Exceeded::Disk), None), "{level}: {command}");
        }
    }
    for (level, execution) in attack("truncate -s 20G sparse; exit $?") {
        assert_eq!(execution.exceeded, Some(Exceeded::FileSize), "{level}: {:?} {}", execution.exit, text(&execution));
    }
}

#[test]
fn the_command_cannot_change_the_limits_of_its_namespace() {
    let place = Place::new(&[]);
    for level in NAMESPACES {
        let command = "cat /proc/sys/kernel/pid_max; (echo 4000000 > /proc/sys/kernel/pid_max) 2>/dev/null || echo no; ulimit -f unlimited 2>/dev/null || echo no";
        let Some(execution) = place.run(Some(level), &request(command)) else { continue };
        let log = text(&execution);
        assert!(log.ends_with("\nno\nno\n"), "{level}: {log}");
    }
}

#[test]
fn a_log_may_hold_any_bytes() {
    let place = Place::new(&[(
        "log.py",
        "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 2 + b'\\x1b]0;title\\x07\\x1b[31m1 passed in 0.1s\\x1b[0m\\n')\n",
    )]);
    let Some(execution) = place.run(None, &request("python3 log.py")) else { return };
    let expected: Vec<u8> = (0..=255).collect();
    assert_eq!(execution.log[..256], expected[..]);
    let canonical = normalise(&execution.to_bytes()).unwrap();
    assert_eq!(report(Parser::Pytest, &canonical).exit, Some(0));
}

#[test]
fn the_same_tests_give_the_same_canonical_record_at_every_level() {
    let test = "\
import os, tempfile, unittest
class C(unittest.TestCase):
    def test_a(self): self.assertTrue(os.getcwd())
    def test_b(self): print(tempfile.mkdtemp(), object()); self.fail(os.getcwd())
";
    let place = Place::new(&[("test_c.py", test)]);
    let mut records = Vec::new();
    for level in Level::ALL {
        let Some(execution) = place.run(Some(level), &request("python3 -m unittest -v test_c")) else { continue };
        let canonical = normalise(&execution.to_bytes()).unwrap();
        let report = report(Parser::Unittest, &canonical);
        assert_eq!(report.failing(), ["test_b (test_c.C)"], "{level}: {}", text(&execution));
        assert_eq!(report.ran, Some(2));
        records.push(String::from_utf8(canonical).unwrap());
    }
    records.dedup();
    assert_eq!(records.len(), 1, "{records:?}");
}

#[test]
fn what_cannot_be_had_is_refused_and_never_replaced_by_less() {
    let place = Place::new(&[]);
    let scratch = place.folder.path().join("scratch");
    let shim = Path::new(env!("CARGO_BIN_EXE_runproof"));
    let error =
        Sandbox::open(Some(Level::Namespaces), shim, &scratch, std::ffi::OsStr::new("/nonexistent")).unwrap_err();
    assert!(matches!(error, GateError::LevelUnavailable { level: Level::Namespaces, .. }), "{error}");
    assert!(error.to_string().contains("unshare"), "{error}");
    let error = Sandbox::open(None, Path::new("/bin/true"), &scratch, &search_path()).unwrap_err();
    assert!(matches!(error, GateError::NoSandbox(_)), "{error}");
    let sandbox = Sandbox::open(Some(Level::None), shim, &scratch, &search_path()).unwrap();
    let missing = run(&sandbox, &place.worktree(), Some(Path::new("/nonexistent")), &request("true")).unwrap_err();
    assert!(matches!(missing, GateError::EnvironmentMissing { .. }), "{missing}");
}

#[test]
fn all_this_holds_for_an_ordinary_user_which_takes_as_long_again() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(["gate::", "--skip", "ordinary_user"]).uid(65534).gid(65534).current_dir("/").env("TMPDIR", "/tmp");
    match tests.output() {
        Ok(output) if is_root => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        // Only root can become somebody else, and the build may lie where nobody else can look.
        _ => eprintln!("SKIPPED: these tests cannot be run as another user"),
    }
}

/// A number of seconds that no other test, nor the same one in another process, sleeps.
fn unique_seconds(test: u32) -> String {
    format!("{test}{}", 1_000_000 + std::process::id())
}

/// What is still [`running`] once the kernel has had time to end what was killed, which takes a while under load.
fn left_running(word: &str) -> Vec<String> {
    let mut left = running(word);
    for _ in 0..2000 {
        if left.is_empty() {
            break;
        }
        std::thread::yield_now();
        left = running(word);
    }
    left
}

/// Command lines of live processes that hold `word` as an argument.
fn running(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|&byte| byte == 0).any(|argument| argument == word.as_bytes()) {
            found.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    found
}
