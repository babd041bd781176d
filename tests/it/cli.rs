//! The command line as a whole: help, usage errors, completions.

use std::io::{BufRead, BufReader};

use crate::env::TestEnv;
use crate::snap;

#[test]
fn an_unknown_verb_is_a_usage_error() {
    let output = TestEnv::new().run(&["dance"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("dance"), "{}", output.stderr);
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(TestEnv::new().run(&["completions", shell]).sound().contains("runproof"), "{shell}");
    }
}

#[test]
fn scripts_load_in_the_shells_that_are_here_and_know_the_arms() {
    let env = TestEnv::new();
    for (shell, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish -n")] {
        let script = env.run(&["completions", shell]).sound();
        for word in ["direct-6+fallback", "certify", "prepare", "existing"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        std::fs::write(env.work().join("script"), script).unwrap();
        let has = std::process::Command::new(shell).arg("--version").output().is_ok();
        if !has {
            eprintln!("SKIPPED: there is no {shell} here");
            continue;
        }
        let loaded = env
            .finish(std::process::Command::new("sh").args(["-c", &format!("{check} script")]).current_dir(env.work()));
        assert_eq!((loaded.code, loaded.stderr.as_str()), (0, ""), "{shell}");
    }
}

/// The whole help tree is one snapshot, so that no option appears or changes unseen.
#[test]
fn the_help_tree() {
    let mut text = String::new();
    help(&mut vec![], &mut text);
    snap!("cli", "help", text);
}

fn help(path: &mut Vec<String>, text: &mut String) {
    let env = TestEnv::new();
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let page = env.run(&args).sound();
    text.push_str(&format!("$ runproof {}\n{page}\n", args.join(" ")));
    let verbs: Vec<String> = page
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|verb| verb != "help")
        .collect();
    for verb in verbs {
        path.push(verb);
        help(path, text);
        path.pop();
    }
}

#[test]
fn prepare_says_which_python_or_package_it_cannot_have() {
    let env = TestEnv::new();
    let row = |python: &str, package: &str| {
        format!(
            r#"{{"instance_id":"a__b-1","repo":"a/b","base_commit":"{}","problem_statement":"x","patch":"","test_patch":"","env":"e","env_python":"{python}","env_packages":["{package}"]}}"#,
            "0".repeat(40)
        )
    };
    for (python, package, code, message) in [
        ("3.99", "x==1", 4, "there is no Python 3.99 here"),
        ("3.11", "--index-url=http://x", 3, "\"--index-url=http://x\" is not a package requirement"),
    ] {
        std::fs::write(env.work().join("i.jsonl"), row(python, package)).unwrap();
        let output = env.run(&["prepare", "i.jsonl"]);
        assert_eq!(output.code, code, "{}", output.stderr);
        assert!(output.stderr.contains(message) && output.stderr.contains("hint: "), "{}", output.stderr);
        assert!(!env.work().join(".runproof/environments").exists());
    }
}

/// An installer goes on after its builder was killed, until the next builder has said that it waits.
#[test]
fn a_killed_prepare_leaves_nothing_half_made_while_its_installer_still_writes() {
    use std::os::unix::fs::PermissionsExt;
    let env = TestEnv::new();
    let said = std::process::Command::new("python3").arg("--version").output().unwrap();
    let version = String::from_utf8(said.stdout).unwrap();
    let version = version.trim().trim_start_matches("Python ");
    let row = format!(
        r#"{{"instance_id":"a__b-1","repo":"a/b","base_commit":"{}","problem_statement":"x","env":"e","env_python":"{version}"}}"#,
        "0".repeat(40)
    );
    std::fs::write(env.work().join("i.jsonl"), row).unwrap();
    std::fs::create_dir(env.work().join("bin")).unwrap();
    let uv = env.work().join("bin/uv");
    // The first one makes the environment late and half; all others make it whole. A test that fails lets it end too.
    let script = format!(
        "#!/bin/sh\nset -e\n[ $1 = venv ] || exit 0\nfor folder; do :; done\nmake() {{ rm -rf $folder; mkdir -p \
         $folder/bin; ln -s $(command -v python3) $folder/bin/python; echo home = x > $folder/pyvenv.cfg; }}\n\
         if mkdir {0}/started 2>/dev/null; then n=0; until [ -e {0}/go ] || [ $n = 6000 ]; do n=$((n+1)); sleep 0.01; done\n\
         make; touch $folder/half; else make; fi\n",
        env.work().display()
    );
    std::fs::write(&uv, script).unwrap();
    std::fs::set_permissions(&uv, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", env.work().join("bin").display(), std::env::var("PATH").unwrap());
    let prepare = |more: &[&str]| {
        let mut command = env.command(&[&["prepare", "i.jsonl"], more].concat());
        command.env("PATH", &path);
        command
    };
    let mut first = prepare(&["--quiet"]).spawn().unwrap();
    while !env.work().join("started").exists() {
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = prepare(&[]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("waiting for another process")));
    std::fs::write(env.work().join("go"), "").unwrap();
    let rest: Vec<String> = said.collect();
    assert!(second.wait().unwrap().success(), "{rest:?}");
    let folders = std::fs::read_dir(env.work().join(".runproof/environments")).unwrap().flatten();
    let made: Vec<_> = folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect();
    assert!(made.len() == 1 && !made[0].join("half").exists(), "{made:?}");
}
