//! llama.cpp beside us: `peer.py` in a process of its own, asked by a line of JSON and answering with one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::Arguments;

/// A running peer.
pub(crate) struct Peer {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the peer with the weights of the command line.
    pub(crate) fn start(arguments: &Arguments, threads: usize) -> Self {
        let python = arguments.text("python").expect("--python names a Python that has xllamacpp");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/engine/peer.py");
        let mut child = Command::new(python)
            .args([script, arguments.text("weights").expect("main checked it"), &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}"));
        let requests = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, replies }
    }

    /// Sends a request and waits for the reply.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the peer answered {line:?}: {error}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
