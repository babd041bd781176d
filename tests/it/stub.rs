//! Servers of this machine that speak just enough of a model's API: any reaction for any request, in any cuts.
//!
//! [`Stub`] is the wire: it hands each request to a function and does what that says, hangs and broken replies
//! included. [`ollama`] is such a function: an Ollama with one model that answers from a list.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) struct Reaction {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Offsets at which the body is cut into separately sent pieces.
    pub(crate) cuts: Vec<usize>,
    pub(crate) framing: Framing,
    pub(crate) end: End,
}

/// How the length of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length,
    /// The announced length differs from the real one by this much.
    WrongLength(i64),
    /// The end of the connection is the end of the body.
    Close,
    /// No HTTP at all: the body is the whole reply.
    Raw,
}

/// What happens after the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Well,
    /// The connection ends before the framing does.
    Cut,
    /// Nothing more comes, until the client goes away.
    Hang,
}

impl Reaction {
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.into(), cuts: Vec::new(), framing: Framing::Length, end: End::Well }
    }

    pub(crate) fn stream(body: impl Into<Vec<u8>>) -> Self {
        Self { framing: Framing::Chunked, headers: Vec::new(), ..Self::json(200, body) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn cut_at(mut self, cuts: impl IntoIterator<Item = usize>) -> Self {
        self.cuts = cuts.into_iter().collect();
        self
    }

    pub(crate) fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.framing != Framing::Raw {
            write!(stream, "HTTP/1.1 {} Status\r\nconnection: close\r\n", self.status)?;
            for (name, value) in &self.headers {
                write!(stream, "{name}: {value}\r\n")?;
            }
            let length = i64::try_from(self.body.len()).unwrap_or(i64::MAX);
            match self.framing {
                Framing::Chunked => write!(stream, "transfer-encoding: chunked\r\n")?,
                Framing::Length => write!(stream, "content-length: {length}\r\n")?,
                Framing::WrongLength(by) => write!(stream, "content-length: {}\r\n", length + by)?,
                Framing::Close | Framing::Raw => {}
            }
            stream.write_all(b"\r\n")?;
        }
        let mut from = 0;
        for to in self.cuts.iter().copied().chain([self.body.len()]) {
            let piece = &self.body[from..to.clamp(from, self.body.len())];
            from += piece.len();
            if self.framing == Framing::Chunked && !piece.is_empty() {
                write!(stream, "{:x}\r\n", piece.len())?;
                stream.write_all(piece)?;
                stream.write_all(b"\r\n")?;
            } else {
                stream.write_all(piece)?;
            }
            stream.flush()?;
        }
        match self.end {
            End::Well if self.framing == Framing::Chunked => stream.write_all(b"0\r\n\r\n"),
            End::Well | End::Cut => Ok(()),
            // Reading ends when the client gives up.
            End::Hang => stream.read(&mut [0; 1]).map(|_| ()),
        }
    }
}

/// A running server; it ends with the value.
pub(crate) struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// Starts a server on a free port of this machine.
    pub(crate) fn start(react: impl FnMut(&Seen) -> Reaction + Send + 'static) -> Self {
        Self::listen("127.0.0.1:0", react).expect("a free port")
    }

    /// Starts a server at an address.
    pub(crate) fn listen(
        address: &str,
        react: impl FnMut(&Seen) -> Reaction + Send + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (seen, ending) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stop, react) = (Arc::clone(&seen), Arc::clone(&ending), Arc::new(Mutex::new(react)));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                let (log, react) = (Arc::clone(&log), Arc::clone(&react));
                // Its own thread: one client that hangs must not stop the next.
                std::thread::spawn(move || {
                    let Some(request) = read(&mut stream) else { return };
                    log.lock().expect("no panic while locked").push(request.clone());
                    let reaction = react.lock().expect("no panic while locked")(&request);
                    // A client that goes away early is what some tests are about.
                    let _ = reaction.send(&mut stream);
                });
            }
        });
        Ok(Self { address, seen, ending, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// The requests for one path.
    pub(crate) fn asked(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path == path).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, path, headers, body: Vec::new() };
    let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

/// The digest that [`ollama`] gives its model.
pub(crate) const OLLAMA_DIGEST: &str = "46e0c10c039e019119339687c3c1757cc81b9da49709a3b3924863ba87ca666e";

/// An Ollama that has the one model `name`, and answers each chat with the next of `replies`.
///
/// It counts four characters as a token and refuses a prompt that does not fit, as Ollama does with `truncate: false`.
pub(crate) fn ollama(name: &str, replies: Vec<String>) -> impl FnMut(&Seen) -> Reaction + Send + 'static {
    let details = json!({"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"});
    let model =
        json!({"name": name, "model": name, "digest": OLLAMA_DIGEST, "size": 4_920_753_328_u64, "details": details});
    let (name, mut replies, mut context) = (name.to_owned(), replies.into_iter(), None);
    move |seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/api/version") => Reaction::json(200, r#"{"version":"0.12.3"}"#),
        ("GET", "/api/tags") => Reaction::json(200, json!({"models": [model]}).to_string()),
        ("GET", "/api/ps") => {
            let mut running = model.clone();
            running["context_length"] = json!(context);
            let running: Vec<Value> = context.map(|_: u64| running).into_iter().collect();
            Reaction::json(200, json!({"models": running}).to_string())
        }
        ("POST", "/api/show" | "/api/chat") if seen.json()["model"] != name.as_str() => {
            Reaction::json(404, r#"{"error":"model not found"}"#)
        }
        ("POST", "/api/show") => {
            let info = json!({"general.architecture": "llama", "llama.context_length": 131_072});
            Reaction::json(
                200,
                json!({"template": "{{ .Prompt }}", "details": details, "model_info": info}).to_string(),
            )
        }
        ("POST", "/api/chat") => {
            let body = seen.json();
            let asked = body["options"]["num_ctx"].as_u64().unwrap_or(4096);
            context = Some(asked);
            let characters: usize = body["messages"]
                .as_array()
                .map(|messages| messages.iter().filter_map(|m| m["content"].as_str()).map(|t| t.chars().count()).sum())
                .unwrap_or(0);
            if characters as u64 / 4 >= asked {
                return Reaction::json(400, r#"{"error":"the input length exceeds the context length"}"#);
            }
            match replies.next() {
                Some(reply) => Reaction::stream(chat(&name, &reply, characters / 4 + 10)),
                None => Reaction::json(400, r#"{"error":"the stub has no more replies"}"#),
            }
        }
        _ => Reaction::json(404, r#"{"error":"not found"}"#),
    }
}

/// The lines of a streamed reply, eight characters a piece.
fn chat(name: &str, reply: &str, prompt_tokens: usize) -> String {
    let mut stream = String::new();
    let characters: Vec<char> = reply.chars().collect();
    for piece in characters.chunks(8) {
        let message = json!({"role": "assistant", "content": piece.iter().collect::<String>()});
        let line = json!({"model": name, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false});
        stream.push_str(&format!("{line}\n"));
    }
    let message = json!({"role": "assistant", "content": ""});
    let end = json!({"model": name, "created_at": "2026-01-01T00:00:01Z", "message": message, "done": true,
        "done_reason": "stop", "total_duration": 1_000_000_000, "load_duration": 1_000_000,
        "prompt_eval_count": prompt_tokens, "prompt_eval_duration": 400_000_000,
        "eval_count": characters.len().div_ceil(8), "eval_duration": 500_000_000});
    stream + &format!("{end}\n")
}
