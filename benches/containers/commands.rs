//! Prints the test commands that published rows are given, a JSON line each, for `commands.py` beside this file.

use std::path::PathBuf;

use runproof::instance::load_all;

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own, whose output is data")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a file of instances")?;
    for instance in load_all(&path)? {
        let instance = instance.with_commands();
        let line = serde_json::json!({
            "instance_id": instance.id,
            "visible": instance.test_command,
            "hidden": instance.hidden_test_command,
        });
        println!("{line}");
    }
    Ok(())
}
