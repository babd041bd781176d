//! The command line as a whole: help, usage errors, completions.

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
