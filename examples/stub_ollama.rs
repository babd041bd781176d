//! A stand-in for Ollama: `cargo run --example stub_ollama -- REPLIES.jsonl [MODEL] [ADDRESS]` prints its address and
//! answers each chat with the next line `{"reply": "…"}` of the file. MODEL is `llama3.1:8b` and ADDRESS a free port of
//! this machine unless given; point `--base-url` or `OLLAMA_HOST` at the printed address.

#[path = "../tests/it/stub.rs"]
#[expect(dead_code, reason = "the tests use what this program does not")]
mod stub;

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[expect(clippy::disallowed_methods, reason = "a program reads its own arguments")]
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: stub_ollama REPLIES.jsonl [MODEL] [ADDRESS]")?;
    let mut replies = Vec::new();
    for line in std::fs::read_to_string(path)?.lines().filter(|line| !line.trim().is_empty()) {
        let line: serde_json::Value = serde_json::from_str(line)?;
        replies.push(line["reply"].as_str().ok_or("a line without a reply")?.to_owned());
    }
    let model = arguments.get(1).map_or("llama3.1:8b", String::as_str);
    let address = arguments.get(2).map_or("127.0.0.1:0", String::as_str);
    let server = stub::Stub::listen(address, stub::ollama(model, replies))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    // The server ends with the process.
    loop {
        std::thread::park();
    }
}
