//! Reading corpora, and a conversation made from their text.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;

/// One recorded call.
pub(crate) struct Call {
    pub(crate) run: String,
    pub(crate) kind: &'static str,
    pub(crate) request: String,
    pub(crate) reply: String,
}

/// Reads a corpus: one JSON object a line with `run`, `kind`, `req` and `resp`, as it is or (`.zst`) in a zstd frame
/// with a long window.
pub(crate) fn calls(file: &Path) -> Result<impl Iterator<Item = Result<Call>> + use<>> {
    let mut reader: Box<dyn Read> = Box::new(File::open(file)?);
    if file.extension().is_some_and(|extension| extension == "zst") {
        let mut decoder = zstd::Decoder::new(reader)?;
        decoder.window_log_max(27)?;
        reader = Box::new(decoder);
    }
    Ok(BufReader::new(reader).lines().map(|line| {
        let mut line: Value = serde_json::from_str(&line?)?;
        let mut text = |name: &str| match line[name].take() {
            Value::String(text) => Ok(text),
            _ => Err(format!("no text {name:?}")),
        };
        let kind = if text("kind")? == "llm" { "model_call" } else { "test" };
        Ok(Call { run: text("run")?, kind, request: text("req")?, reply: text("resp")? })
    }))
}

/// A growing conversation: each call repeats all before it and adds 1,000 characters of answer and 1,000 of tool
/// output, cut from the replies of a corpus.
pub(crate) struct Conversation {
    text: Vec<char>,
    messages: Vec<Value>,
}

impl Conversation {
    pub(crate) fn of(file: &Path) -> Result<Self> {
        let mut text = Vec::new();
        let mut last = String::new();
        for call in calls(file)? {
            let call = call?;
            if call.run != last {
                text.extend(call.reply.chars());
                last = call.run;
            }
            if text.len() > 200_000 {
                break;
            }
        }
        let system = json!({"role": "system", "content": "You repair programs."});
        Ok(Self { text, messages: vec![system] })
    }
}

impl Iterator for Conversation {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        let turn = self.messages.len() / 2;
        let piece = |at: usize| self.text.get(at * 1000..(at + 1) * 1000).map(|text| text.iter().collect::<String>());
        let (output, answer) = (piece(2 * turn)?, piece(2 * turn + 1)?);
        self.messages.push(json!({"role": "user", "content": output}));
        let request = json!({"model": "m", "messages": self.messages, "temperature": 0, "seed": 42}).to_string();
        let message = json!({"role": "assistant", "content": answer});
        let reply = json!({"id": format!("call-{turn}"), "choices": [{"index": 0, "message": message}]}).to_string();
        self.messages.push(message);
        Some(Call { run: String::new(), kind: "model_call", request, reply })
    }
}

/// Returns the size of one frame over everything at level 19 with a long window: small, but nothing in it can be read
/// alone.
pub(crate) fn solid(bytes: &[u8]) -> Result<usize> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 19)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(27)?;
    std::io::Write::write_all(&mut encoder, bytes)?;
    Ok(encoder.finish()?.len())
}
