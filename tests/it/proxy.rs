//! Recorded agents: what crosses the proxy, what is kept of it, and what a replay gives back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::stub::{End, Framing, Reaction, Seen, Stub, ollama};

/// A proxy in the background; it is killed if the test does not stop it.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
    port: u16,
}

/// What a proxy said and how it ended.
struct Ended {
    code: i32,
    said: String,
}

impl Running {
    fn start(env: &TestEnv, args: &[&str]) -> Self {
        Self::of(env.command(args))
    }

    fn of(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains(" at http://") {
            line.clear();
            assert!(said.read_line(&mut line).expect("it says where it is") > 0, "the proxy ended at once");
        }
        let port = line.split("http://127.0.0.1:").nth(1).expect("an address");
        let port = port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a port");
        Self { child, said, port }
    }

    fn record(env: &TestEnv, upstream: &Stub, more: &[&str]) -> Self {
        let base = format!("{}/v1", upstream.url());
        let args = ["record", "--listen", "127.0.0.1:0", "--upstream-openai", &base, "--upstream-anthropic"];
        let url = upstream.url();
        Self::start(env, &[&args[..], &[&url, "--upstream-ollama", &url], more].concat())
    }

    fn replay(env: &TestEnv, more: &[&str]) -> Self {
        Self::start(env, &[&["replay", "last", "--listen", "127.0.0.1:0"], more].concat())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a time");
        stream
    }

    /// Sends raw bytes and returns everything that comes back until the connection closes.
    fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The proxy may refuse before it has read everything.
        let _ = stream.write_all(request);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        reply
    }

    fn ask(&self, request: &str, body: &[u8]) -> Reply {
        let head = format!(
            "{request}\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        Reply::read(&self.raw(&[head.as_bytes(), body].concat()))
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask(&format!("POST {path} HTTP/1.1\r\ncontent-type: application/json"), body.to_string().as_bytes())
    }

    /// Ends it as Ctrl-C does.
    fn stop(mut self) -> Ended {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        Ended { code: self.child.wait().expect("it ends").code().unwrap_or(-1), said }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reply as a client sees it.
#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    whole: bool,
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let at = bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(bytes.len());
        let headers = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
        let status = headers.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let rest = bytes.get(at + 4..).unwrap_or_default();
        let (body, whole) =
            if headers.contains("transfer-encoding: chunked") { unchunk(rest) } else { (rest.to_vec(), true) };
        Self { status, headers, body, whole }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|part| part == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..at]), 16).unwrap_or(0);
        if length == 0 || rest.len() < at + 4 + length {
            return (body, length == 0);
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + length]);
        rest = &rest[at + 4 + length..];
    }
    (body, false)
}

fn chat(text: &str) -> Value {
    json!({"model": "m", "temperature": 0, "seed": 1, "messages": [{"role": "user", "content": text}]})
}

/// A server that answers chats with what was asked.
fn echo() -> Stub {
    Stub::start(|seen: &Seen| {
        let asked = seen.json();
        let said = asked["messages"].as_array().and_then(|all| all.last()).map(|m| m["content"].clone());
        if said == Some(json!("HANG")) {
            let mut reaction = Reaction::stream("data: {\"choices\":[]}\n\n").ending(End::Hang);
            reaction.headers.push(("content-type", "text/event-stream".into()));
            return reaction;
        }
        if asked["stream"] == true {
            let part = |text: &str| {
                format!("data: {}\r\n\r\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
            };
            let body = format!(
                ": ping\n\n{}{}data: [DONE]",
                part("é"),
                part(said.unwrap_or_default().as_str().unwrap_or_default())
            );
            // Cut within the é, and within a line.
            let at = body.find('é').map_or(1, |at| at + 1);
            let mut reaction = Reaction::stream(body).cut_at([at, at + 9]);
            reaction.headers.push(("content-type", "text/event-stream".into()));
            return reaction;
        }
        let reply = json!({"id": "chatcmpl-x", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]});
        Reaction::json(200, reply.to_string()).header("x-request-id", "r1").header("set-cookie", "CANARY-COOKIE-1234")
    })
}

fn work() -> TestEnv {
    TestEnv::new()
}

fn store_bytes(env: &TestEnv) -> Vec<u8> {
    let folder: PathBuf = env.work().join(".runproof");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a store") {
        all.extend(std::fs::read(entry.expect("an entry").path()).unwrap_or_default());
    }
    all
}

fn store_names(env: &TestEnv) -> Vec<String> {
    let entries = std::fs::read_dir(env.work().join(".runproof")).expect("a store");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn verified(env: &TestEnv) {
    let _ = env.run(&["store", "verify"]).sound();
}

#[test]
fn what_was_recorded_comes_back_to_the_byte_without_the_server() {
    let env = work();
    let upstream = echo();
    let proxy = Running::record(&env, &upstream, &[]);
    let stream = json!({"model": "m", "temperature": 0, "seed": 1, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let ask = |proxy: &Running| {
        vec![
            proxy.post("/v1/chat/completions", &chat("one")),
            proxy.post("/v1/chat/completions", &stream),
            proxy.post("/v1/chat/completions", &chat("one")),
            proxy.ask("GET /v1/models?limit=3 HTTP/1.1", b""),
        ]
    };
    let first = ask(&proxy);
    assert!(first.iter().all(|reply| reply.status == 200 && reply.whole), "{first:?}");
    assert!(first[1].text().ends_with("data: [DONE]") && first[1].text().contains('é'), "{first:?}");
    assert_eq!(proxy.stop().code, 0);
    assert_eq!(upstream.seen().len(), 4);
    verified(&env);

    let shown = env.run(&["show", "last"]).sound();
    assert!(shown.contains("<user>\n   hi\n<assistant>\n   éhi"), "{shown}");
    assert!(shown.contains("POST /v1/chat/completions  200  m  seeded"), "{shown}");

    let proxy = Running::replay(&env, &["--pace"]);
    let again = ask(&proxy);
    let bodies = |replies: &[Reply]| replies.iter().map(|r| (r.status, r.body.clone())).collect::<Vec<_>>();
    assert_eq!(bodies(&again), bodies(&first));
    assert!(again[1].headers.contains("content-type: text/event-stream"));
    let ended = proxy.stop();
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(ended.said.contains("4 of 4 calls, equal"), "{}", ended.said);
    assert_eq!(upstream.seen().len(), 4);
}

#[test]
fn old_clients_and_questions_for_a_length_are_answered_alike() {
    let env = work();
    let upstream = Stub::start(|seen: &Seen| {
        let body = if seen.method == "HEAD" { "" } else { "{}" };
        let framing = if seen.method == "HEAD" { Framing::WrongLength(1234) } else { Framing::Length };
        Reaction::json(200, body).framed(framing)
    });
    let ask = |proxy: &Running| {
        let length = proxy.ask("HEAD /v1/models HTTP/1.1", b"");
        assert!(length.status == 200 && length.headers.contains("content-length: 1234"), "{length:?}");
        // HTTP/1.0 knows no host.
        let old = Reply::read(&proxy.raw(b"GET /v1/models HTTP/1.0\r\n\r\n"));
        assert_eq!((old.status, old.text()), (200, "{}".to_owned()));
    };
    let proxy = Running::record(&env, &upstream, &[]);
    ask(&proxy);
    assert_eq!(proxy.stop().code, 0);
    let proxy = Running::replay(&env, &[]);
    ask(&proxy);
    let ended = proxy.stop();
    assert!(ended.code == 0 && ended.said.contains("2 of 2 calls, equal"), "{}", ended.said);
}

#[test]
fn a_changed_message_is_refused_and_named_however_late_it_is() {
    let env = work();
    let upstream = echo();
    let long = |last: &str| chat(&format!("{}{last}", "x".repeat(50_000)));
    let proxy = Running::record(&env, &upstream, &[]);
    assert_eq!(proxy.post("/v1/chat/completions", &long("end")).status, 200);
    assert_eq!(proxy.stop().code, 0);

    let proxy = Running::replay(&env, &[]);
    let reply = proxy.post("/v1/chat/completions", &long("END"));
    assert_eq!(reply.status, 400);
    assert!(
        reply.text().contains("/body/messages/0/content") && reply.text().contains("replay_diverged"),
        "{}",
        reply.text()
    );
    // Nothing is given after that, not even what was recorded.
    assert_eq!(proxy.post("/v1/chat/completions", &long("end")).status, 400);
    let ended = proxy.stop();
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.said.contains("differs at byte 50033"), "{}", ended.said);
    assert!(ended.said.contains("+ replayed |") && ended.said.contains("xEND"), "{}", ended.said);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_used_up_tape_is_a_divergence_and_so_is_one_with_a_rest() {
    let env = work();
    let upstream = echo();
    let proxy = Running::record(&env, &upstream, &[]);
    proxy.post("/v1/chat/completions", &chat("a"));
    proxy.post("/v1/chat/completions", &chat("a"));
    proxy.stop();

    let proxy = Running::replay(&env, &[]);
    let statuses: Vec<u16> = (0..3).map(|_| proxy.post("/v1/chat/completions", &chat("a")).status).collect();
    assert_eq!(statuses, [200, 200, 400]);
    let ended = proxy.stop();
    assert!(
        ended.code == 1 && ended.said.contains("recorded 2 times, and the replay makes it once more"),
        "{}",
        ended.said
    );

    let proxy = Running::replay(&env, &[]);
    assert_eq!(proxy.post("/v1/chat/completions", &chat("a")).status, 200);
    let ended = proxy.stop();
    assert!(ended.code == 1 && ended.said.contains("without asking for it"), "{}", ended.said);
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn no_credential_reaches_the_disk_or_the_terminal() {
    let env = work();
    let upstream = echo();
    let proxy = Running::record(&env, &upstream, &[]);
    let secret = "CANARY-KEY-0123456789";
    let request = format!(
        "POST /v1/chat/completions?api_key={secret}&limit=1 HTTP/1.1\r\nauthorization: Bearer {secret}\r\nx-api-key: {secret}\r\ncookie: a={secret}\r\nopenai-organization: {secret}\r\nuser-agent: agent/1\r\ncontent-type: application/json"
    );
    let reply = proxy.ask(&request, chat("hello").to_string().as_bytes());
    assert_eq!(reply.status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[0].header("authorization"), Some(&*format!("Bearer {secret}")));
    assert!(seen[0].path.contains(secret), "the server gets what it was sent: {}", seen[0].path);
    let ended = proxy.stop();
    let shown = env.run(&["show", "last", "--full"]).sound()
        + &env.run(&["show", "last", "--event", "1", "--full"]).sound()
        + &env.run(&["log", "last", "--json"]).sound()
        + &ended.said;
    assert!(shown.contains("agent/1") && !shown.contains("CANARY"), "{shown}");
    // The store keeps text compressed, so the exported bodies are searched as well.
    assert!(!store_bytes(&env).windows(6).any(|part| part == b"CANARY"));
}

#[test]
fn sampling_is_set_refused_or_left_as_it_is_asked() {
    let body = json!({"model": "m", "temperature": 0.7, "messages": [{"role": "user", "content": "x"}]});
    for (rule, status, temperature) in
        [("enforce", 200, Some(json!(0))), ("observe", 200, Some(json!(0.7))), ("require", 400, None)]
    {
        let env = work();
        let upstream = echo();
        let proxy = Running::record(&env, &upstream, &["--sampling", rule]);
        let reply = proxy.post("/v1/chat/completions", &body);
        assert_eq!(reply.status, status, "{rule}: {}", reply.text());
        assert_eq!(upstream.seen().first().map(|seen| seen.json()["temperature"].clone()), temperature, "{rule}");
        proxy.stop();
        if rule == "enforce" {
            assert_eq!(upstream.seen()[0].json()["seed"], 42);
            let received = env.run(&["show", "last", "--event", "1", "--body", "received"]).sound();
            assert_eq!(received, body.to_string());
        }
        if status == 200 {
            // A replay is asked with what the agent asked.
            let proxy = Running::replay(&env, &[]);
            assert_eq!(proxy.post("/v1/chat/completions", &body).status, 200);
            assert_eq!(proxy.stop().code, 0);
            let check: Value = serde_json::from_str(&env.run(&["check", "last", "--json"]).sound()).expect("JSON");
            let graded = &check["rungs"][0]["criteria"][3];
            let not = u64::from(rule == "observe");
            assert_eq!(graded["figures"]["not_reexecutable"], not, "{check}");
        } else {
            assert!(reply.text().contains("temperature is not 0, it has no seed"), "{}", reply.text());
        }
    }
}

/// Status and body of each answer.
type Answers = Vec<(u16, Vec<u8>)>;

/// Asks a replay of the one recorded call, and of what was refused beside it, once more.
fn asked_again(env: &TestEnv, ask: &dyn Fn(&Running) -> Answers, first: &Answers) {
    let proxy = Running::replay(env, &[]);
    assert_eq!(&ask(&proxy), first);
    let ended = proxy.stop();
    assert!(ended.code == 0 && ended.said.contains("1 of 1 calls, equal"), "{}", ended.said);
}

#[test]
fn what_was_refused_for_how_it_samples_is_refused_again_in_the_same_words() {
    let env = work();
    let upstream = echo();
    let hot = json!({"model": "m", "temperature": 0.7, "messages": [{"role": "user", "content": "try"}]});
    let ask = |proxy: &Running| -> Answers {
        let packed = "POST /v1/chat/completions HTTP/1.1\r\ncontent-encoding: gzip";
        [
            proxy.post("/v1/chat/completions", &hot),
            proxy.ask(packed, b"no gzip"),
            proxy.post("/v1/chat/completions", &chat("try")),
        ]
        .map(|reply| (reply.status, reply.body))
        .to_vec()
    };
    let proxy = Running::record(&env, &upstream, &["--sampling", "require", "--seed", "7"]);
    let first = ask(&proxy);
    assert_eq!(first.iter().map(|reply| reply.0).collect::<Vec<_>>(), [400, 400, 200]);
    assert_eq!(proxy.stop().code, 0);
    assert_eq!(upstream.seen().len(), 1);
    asked_again(&env, &ask, &first);
}

#[test]
fn what_was_refused_for_a_credential_is_refused_again_in_the_same_words() {
    let env = work();
    let upstream = echo();
    let key = format!("sk-{}", "a1b2".repeat(8));
    let ask = |proxy: &Running| -> Answers {
        let packed = "POST /v1/chat/completions HTTP/1.1\r\ncontent-encoding: rot13";
        [
            proxy.post("/v1/chat/completions", &chat(&format!("my key is {key}"))),
            proxy.ask(&format!("GET /v1/files/{key}/content HTTP/1.1"), b""),
            proxy.ask(packed, b"{}"),
            proxy.post("/v1/chat/completions", &chat("try")),
        ]
        .map(|reply| (reply.status, reply.body))
        .to_vec()
    };
    let proxy = Running::record(&env, &upstream, &["--secrets", "refuse"]);
    let first = ask(&proxy);
    assert_eq!(first.iter().map(|reply| reply.0).collect::<Vec<_>>(), [400, 400, 400, 200]);
    let ended = proxy.stop();
    assert!(ended.code == 0 && !ended.said.contains(&key), "{}", ended.said);
    assert_eq!(upstream.seen().len(), 1);
    asked_again(&env, &ask, &first);
}

#[test]
fn what_is_too_large_or_goes_nowhere_is_refused_alike_in_a_replay() {
    let env = work();
    let upstream = echo();
    // Behind the server's own path it is too long for an address.
    let (base, long) = (format!("{}/{}", upstream.url(), "b".repeat(1000)), format!("/v1/{}", "a".repeat(64_700)));
    let ask = |proxy: &Running| -> Answers {
        let large =
            "POST /v1/files HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
        [Reply::read(&proxy.raw(large.as_bytes())), proxy.ask(&format!("GET {long} HTTP/1.1"), b"")]
            .map(|reply| (reply.status, reply.body))
            .to_vec()
    };
    let proxy = Running::start(&env, &["record", "--listen", "127.0.0.1:0", "--upstream-openai", &base]);
    let first = ask(&proxy);
    assert_eq!([first[0].0, first[1].0], [413, 400]);
    assert!(String::from_utf8_lossy(&first[1].1).contains("no address of a server"), "{first:?}");
    assert_eq!(proxy.stop().code, 0);
    assert!(upstream.seen().is_empty());
    asked_again(&env, &ask, &first);
}

#[test]
fn a_key_in_a_path_goes_out_and_is_not_kept() {
    let env = work();
    let upstream = echo();
    let (shape, value) = (format!("sk-{}", "a1b2".repeat(8)), "CANARY-correct-horse");
    let mut command = env.command(&["record", "--listen", "127.0.0.1:0", "--upstream-openai", &upstream.url()]);
    command.env("MY_API_KEY", value);
    let proxy = Running::of(command);
    for secret in [shape.as_str(), value] {
        assert_eq!(proxy.post(&format!("/v1/bot-{secret}/chat/completions?k={value}"), &chat("x")).status, 200);
    }
    let ended = proxy.stop();
    assert!(ended.said.contains("the path of /v1/<secret>/chat/completions"), "{}", ended.said);
    assert!(ended.said.contains("/v1/bot-<secret>/chat/completions?k=<secret>"), "{}", ended.said);
    let seen: Vec<String> = upstream.seen().into_iter().map(|seen| seen.path).collect();
    assert!(seen[0].contains(&shape) && seen[1].contains(value), "{seen:?}");
    let shown =
        env.run(&["show", "last", "--full"]).sound() + &env.run(&["log", "last", "--json"]).sound() + &ended.said;
    assert!(!shown.contains(&shape) && !shown.contains(value), "{shown}");
}

#[test]
fn what_azure_puts_before_its_calls_goes_out_and_is_kept() {
    let env = work();
    let upstream = echo();
    let proxy = Running::start(&env, &["record", "--listen", "127.0.0.1:0", "--upstream-openai", &upstream.url()]);
    let target = "/openai/deployments/mine/chat/completions?api-version=2025-04-01";
    let body = json!({"messages": [{"role": "user", "content": "x"}]});
    assert_eq!(proxy.post(target, &body).status, 200);
    assert_eq!(proxy.post("/openai/v1/chat/completions", &body).status, 200);
    // The ends of its paths are nobody's calls elsewhere.
    assert_eq!(proxy.post("/v1/forms/3/responses", &body).status, 200);
    proxy.stop();
    let seen = upstream.seen();
    assert_eq!([&*seen[0].path, &*seen[1].path], [target, "/chat/completions"]);
    assert_eq!([0, 1, 2].map(|at: usize| seen[at].json()["temperature"].clone()), [json!(0), json!(0), Value::Null]);
    assert!(env.run(&["log", "last"]).sound().contains(target));
}

#[test]
fn equal_calls_at_the_same_time_come_back_in_the_order_in_which_they_arrived() {
    let env = work();
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let proxy = Running::start(&env, &["record", "--listen", "127.0.0.1:0", "--upstream-openai", &url]);
    let take = || {
        let (mut stream, _) = server.accept().expect("a call");
        let (mut some, mut got) = ([0; 4096], Vec::new());
        while !got.ends_with(b"}]}") {
            let count = stream.read(&mut some).expect("bytes");
            got.extend_from_slice(&some[..count]);
        }
        stream
    };
    let answer = |mut stream: TcpStream, number: u32| {
        let body = json!({"number": number}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("sent");
    };
    let body = r#"{"model":"m","seed":1,"temperature":0,"messages":[{"role":"user","content":"same"}]}"#;
    let post = |proxy: &Running| proxy.ask("POST /v1/chat/completions HTTP/1.1", body.as_bytes()).text();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| post(&proxy));
        let first = take();
        let fast = scope.spawn(|| post(&proxy));
        // The second one is answered before the first.
        answer(take(), 2);
        assert_eq!(fast.join().expect("no panic"), "{\"number\":2}");
        answer(first, 1);
        assert_eq!(slow.join().expect("no panic"), "{\"number\":1}");
    });
    assert_eq!(proxy.stop().code, 0);
    let proxy = Running::replay(&env, &[]);
    for number in [1, 2] {
        assert_eq!(post(&proxy), format!("{{\"number\":{number}}}"));
    }
    assert_eq!(proxy.stop().code, 0);
    let _ = env.run(&["check", "last"]).sound();
}

#[test]
fn idle_connections_give_way_to_one_that_asks() {
    let env = work();
    let upstream = echo();
    let proxy = Running::record(&env, &upstream, &[]);
    let idle: Vec<TcpStream> = (0..512).map(|_| proxy.connect()).collect();
    assert_eq!(proxy.post("/v1/chat/completions", &chat("room?")).status, 200);
    drop(idle);
    assert_eq!(proxy.stop().code, 0);
}

#[test]
fn signals_are_handed_on_and_end_the_run() {
    for (signal, code) in
        [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143), (rustix::process::Signal::HUP, 129)]
    {
        let env = work();
        let mut command = env.command(&["record", "--", "/bin/sleep", "30"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says where it is");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
        let shown = env.run(&["show", "last", "--json"]).sound();
        let run: Value = serde_json::from_str(shown.lines().next().unwrap_or_default()).expect("JSON");
        assert_eq!(run["status"], "finished", "{run}");
    }
}

#[test]
fn a_reply_that_repeats_a_credential_is_said() {
    let key = format!("sk-{}", "a1b2".repeat(8));
    for rule in ["warn", "refuse"] {
        let env = work();
        let echoed = key.clone();
        let upstream = Stub::start(move |_: &Seen| {
            Reaction::json(401, json!({"error": {"message": format!("no such key: {echoed}")}}).to_string())
        });
        let proxy = Running::record(&env, &upstream, &["--secrets", rule]);
        let request = format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}");
        assert_eq!(proxy.ask(&request, b"").status, 401);
        let said = proxy.stop().said;
        assert!(said.contains("the reply to /v1/models holds something like a key"), "{rule}: {said}");
        assert!(!said.contains(&key) && !said.contains("the request to"), "{rule}: {said}");
    }
}

#[test]
fn servers_that_fail_are_part_of_the_recording() {
    let env = work();
    let upstream = Stub::start(|seen: &Seen| {
        let text = seen.json()["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        let stream = |body: &str| {
            let mut reaction = Reaction::stream(body);
            reaction.headers.push(("content-type", "text/event-stream".into()));
            reaction
        };
        match text.as_str() {
            "busy" => Reaction::json(429, r#"{"error":{"message":"slow down"}}"#).header("retry-after", "7"),
            "reset" => Reaction::json(200, "{\"half\":").framed(Framing::WrongLength(90)).ending(End::Cut),
            "cut" => stream("data: {\"choices\":[]}\n\n").ending(End::Cut),
            "late" => stream("data: {}\n\nevent: error\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
            "away" => Reaction::json(307, "").header("location", "http://elsewhere.example/"),
            _ => Reaction::json(200, "garbage").framed(Framing::Raw),
        }
    });
    let cases = ["busy", "reset", "cut", "late", "away", "raw"];
    let ask = |proxy: &Running| -> Vec<Reply> {
        cases.iter().map(|case| proxy.post("/v1/chat/completions", &chat(case))).collect()
    };
    let proxy = Running::record(&env, &upstream, &[]);
    let first = ask(&proxy);
    assert_eq!(first.iter().map(|reply| reply.status).collect::<Vec<_>>(), [429, 502, 200, 200, 307, 502], "{first:?}");
    assert!(first[0].headers.contains("retry-after: 7"));
    assert!(!first[2].whole && first[3].whole, "{first:?}");
    assert!(!first[4].headers.contains("elsewhere"), "{first:?}");
    let ended = proxy.stop();
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(ended.said.contains("not followed"), "{}", ended.said);
    verified(&env);
    let proxy = Running::replay(&env, &[]);
    let again = ask(&proxy);
    let seen = |replies: &[Reply]| replies.iter().map(|r| (r.status, r.whole)).collect::<Vec<_>>();
    assert_eq!(seen(&again), seen(&first));
    assert_eq!(again[2].body, first[2].body);
    // The proxy's own replies come back to the byte, too, and the recording still says that the server failed.
    for at in [1, 5] {
        assert!(first[at].text().contains("the server"), "{first:?}");
        assert_eq!(again[at].body, first[at].body);
    }
    let ended = proxy.stop();
    assert_eq!(ended.code, 0, "{}", ended.said);
    let log = env.run(&["log", "last"]).sound();
    assert_eq!(log.lines().filter(|line| line.contains("broken off by the server")).count(), 3, "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("the proxy answered 502")).count(), 2, "{log}");
    let check: Value = serde_json::from_str(&env.run(&["check", "last", "--json"]).sound()).expect("JSON");
    assert!(check.to_string().contains("\"aborted\":3"), "{check}");
}

#[test]
fn a_silent_server_is_silent_in_the_same_words_again() {
    let env = work();
    let upstream = Stub::start(|_: &Seen| Reaction::json(200, "").framed(Framing::Raw).ending(End::Hang));
    let proxy = Running::record(&env, &upstream, &["--silence", "1"]);
    let first = proxy.post("/v1/messages", &chat("x"));
    assert!(first.status == 504 && first.text().contains("nothing came from the server for 1 seconds"), "{first:?}");
    proxy.stop();
    let proxy = Running::replay(&env, &[]);
    let again = proxy.post("/v1/messages", &chat("x"));
    assert_eq!((again.status, &again.body), (504, &first.body));
    assert_eq!(proxy.stop().code, 0);
}

/// Takes as long as exchanges may still run after the end was called.
#[test]
fn calls_under_way_at_the_end_are_kept_as_far_as_they_came() {
    let env = work();
    let upstream = Stub::start(|seen: &Seen| match seen.json()["messages"][0]["content"].as_str() {
        Some("stream") => {
            let mut reaction = Reaction::stream("data: {\"choices\":[]}\n\n").ending(End::Hang);
            reaction.headers.push(("content-type", "text/event-stream".into()));
            reaction
        }
        Some("half") => Reaction::json(200, "{\"half\":").framed(Framing::WrongLength(90)).ending(End::Hang),
        Some("nothing") => Reaction::json(200, "").framed(Framing::Raw).ending(End::Hang),
        _ => Reaction::json(200, "{}"),
    });
    let proxy = Running::record(&env, &upstream, &[]);
    assert_eq!(proxy.post("/v1/chat/completions", &chat("whole")).status, 200);
    let cases = [("stream", 22), ("half", 8), ("nothing", 0)];
    let held: Vec<TcpStream> = cases
        .iter()
        .map(|(case, _)| {
            let body = chat(case).to_string();
            let mut stream = proxy.connect();
            let length = body.len();
            write!(
                stream,
                "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .expect("sent");
            stream
        })
        .collect();
    while upstream.seen().len() < 4 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = proxy.stop();
    drop(held);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(
        ended.said.contains("4 calls recorded") && ended.said.contains("3 calls still under way"),
        "{}",
        ended.said
    );
    verified(&env);
    let log = env.run(&["log", "last"]).sound();
    for (case, at) in cases {
        assert!(log.contains(&format!("broken off by the recorder at byte {at}")), "{case}: {log}");
    }
    assert!(!store_names(&env).iter().any(|name| name.contains("flight")));
    // A replay may ask for them, and need not.
    let proxy = Running::replay(&env, &[]);
    assert_eq!(proxy.post("/v1/chat/completions", &chat("whole")).status, 200);
    assert!(!proxy.post("/v1/chat/completions", &chat("stream")).whole);
    assert_eq!(proxy.post("/v1/chat/completions", &chat("half")).status, 502);
    let ended = proxy.stop();
    assert!(ended.code == 0 && ended.said.contains("3 of 4 calls, equal"), "{}", ended.said);
}

#[test]
fn what_is_no_request_for_this_proxy_gets_an_error_and_no_place_in_the_recording() {
    let env = work();
    let upstream = echo();
    let proxy = Running::record(&env, &upstream, &[]);
    let host = format!("host: 127.0.0.1:{}\r\n", proxy.port);
    let many = "x-a: 1\r\n".repeat(500);
    let cases: [(&str, String, u16); 9] = [
        ("no HTTP", "\x16\x03\x01\0\0\r\n\r\n".into(), 400),
        ("a header bomb", format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), 431),
        ("a long header", format!("GET / HTTP/1.1\r\n{host}x-a: {}\r\n\r\n", "y".repeat(200_000)), 431),
        ("another host", "GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".into(), 421),
        ("no host", "GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n".into(), 421),
        (
            "somebody's page",
            format!("POST /api/pull HTTP/1.1\r\n{host}origin: https://evil.example\r\nconnection: close\r\n\r\n"),
            403,
        ),
        (
            "a forward proxy",
            "GET http://api.openai.com/v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".into(),
            400,
        ),
        (
            "a socket",
            format!("GET /v1/responses HTTP/1.1\r\n{host}connection: close, upgrade\r\nupgrade: websocket\r\n\r\n"),
            426,
        ),
        (
            "a gigabyte",
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{host}content-length: 1073741824\r\nconnection: close\r\n\r\n"
            ),
            413,
        ),
    ];
    for (what, request, status) in cases {
        let reply = Reply::read(&proxy.raw(request.as_bytes()));
        assert_eq!(reply.status, status, "{what}: {reply:?}");
    }
    assert_eq!(proxy.post("/v1/chat/completions", &chat("still there")).status, 200);
    assert_eq!(upstream.seen().len(), 1);
    let ended = proxy.stop();
    assert!(ended.said.contains("1 call recorded"), "{}", ended.said);
    verified(&env);
}

#[test]
fn an_agent_that_leaves_in_the_middle_is_recorded_as_that() {
    let env = work();
    let upstream = Stub::start(|_: &Seen| {
        let mut reaction =
            Reaction::stream("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n").ending(End::Hang);
        reaction.headers.push(("content-type", "text/event-stream".into()));
        reaction
    });
    let proxy = Running::record(&env, &upstream, &[]);
    {
        let body = chat("x").to_string();
        let mut stream = proxy.connect();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        let mut some = [0; 1024];
        let mut got = Vec::new();
        while !got.windows(6).any(|part| part == b"data: ") {
            let count = stream.read(&mut some).expect("bytes");
            assert!(count > 0, "closed early");
            got.extend_from_slice(&some[..count]);
        }
    }
    let ended = proxy.stop();
    assert!(ended.said.contains("1 call recorded"), "{}", ended.said);
    let head = env.run(&["show", "last", "--event", "1", "--body", "sent"]).sound();
    assert!(head.contains("\"aborted\":{\"at\":") && head.contains("\"by\":\"client\""), "{head}");
    verified(&env);
}

#[test]
fn a_command_is_recorded_replayed_without_a_network_and_certified() {
    let env = work();
    let stub = Stub::start(ollama("llama3.1:8b", Vec::new()));
    // This very program as somebody's agent: it asks an Ollama what a name stands for.
    let with = |args: &[&str]| {
        let mut command = env.command(args);
        let script = "\"$0\" model show ollama:llama3.1:8b; grep CapBnd /proc/self/status >&2";
        command.args(["--", "/bin/sh", "-c", script, env!("CARGO_BIN_EXE_runproof")]);
        env.finish(&mut command)
    };
    let first = with(&["record", "--upstream-ollama", &stub.url(), "--name", "ours"]);
    assert_eq!(first.code, 0, "{first:?}");
    drop(stub);
    let again = with(&["replay", "ours"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("equal"), "{again:?}");
    assert_eq!(again.stdout, first.stdout);
    if again.stderr.contains("network namespace with loopback only") {
        let bounds = again.stderr.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("the command ran");
        let bounds = u64::from_str_radix(bounds.trim(), 16).expect("a mask");
        // Who is root only in a namespace of users may keep the name of what it never had.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        assert!(!is_root || bounds & (1 << 21 | 1 << 12) == 0, "neither SYS_ADMIN nor NET_ADMIN: {bounds:x}");
    }

    let _ = env.run(&["check", "ours"]).sound();
    let _ = env.run(&["key", "new", "k"]).sound();
    let _ = env.run(&["certify", "ours", "--key", "k", "-o", "c.json", "--evidence", "evidence"]).sound();
    let verify = ["verify", "c.json", "--evidence", "evidence", "--key", "k.pub"];
    let output = env.run(&verify);
    assert!(output.code == 0 && output.stdout.contains("level evidence"), "{output:?}");
    assert!(output.stdout.contains("the command was not run"), "{output:?}");
    // What was only computed again is no replay.
    let output = env.run(&[&verify[..], &["--require", "replay"]].concat());
    assert!(output.code == 5 && output.stdout.contains("the command was not run"), "{output:?}");
    let rung = env.run(&["check", "ours"]).sound();
    assert!(rung.contains("roots-recomputed") && !rung.contains("replay-equal  passed"), "{rung}");
}

#[test]
fn a_command_that_asks_nobody_and_one_that_is_not_there_are_said() {
    let env = work();
    let output = env.finish(env.command(&["record", "--", "true"]).env("PATH", "/usr/bin:/bin"));
    assert!(output.code == 4 && output.stderr.contains("no call arrived"), "{output:?}");
    let output = env.run(&["record", "--", "no-such-program-here"]);
    assert!(output.code == 4 && output.stderr.contains("does not start"), "{output:?}");
    assert!(!env.run(&["log", "no-such-program-here"]).stderr.is_empty());
    let stats: Value = serde_json::from_str(&env.run(&["store", "stats", "--json"]).sound()).expect("JSON");
    assert_eq!(stats["runs"], 1, "what did not start leaves no run");
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address").to_string();
    let output = env.run(&["record", "--listen", &address, "--", "true"]);
    assert!(output.code == 4 && output.stderr.contains("cannot listen"), "{output:?}");
}

/// Kills the recorder itself while calls are under way.
#[test]
fn a_killed_recorder_has_kept_every_call_that_was_answered() {
    let env = work();
    let upstream = echo();
    let mut proxy = Running::record(&env, &upstream, &[]);
    for number in 0..5 {
        assert_eq!(proxy.post("/v1/chat/completions", &chat(&format!("n{number}"))).status, 200);
    }
    // One more is under way, and never comes to its end.
    let body = json!({"messages": [{"role": "user", "content": "HANG"}], "stream": true}).to_string();
    let mut stream = proxy.connect();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let (mut some, mut got) = ([0; 1024], Vec::new());
    while !got.windows(6).any(|part| part == b"data: ") {
        let count = stream.read(&mut some).expect("bytes");
        assert!(count > 0, "closed early");
        got.extend_from_slice(&some[..count]);
    }
    proxy.child.kill().expect("it runs");
    proxy.child.wait().expect("it ends");
    drop(proxy);
    verified(&env);
    let log = env.run(&["log", "last"]).sound();
    assert_eq!(log.lines().filter(|line| line.contains("exchange")).count(), 6, "{log}");
    assert!(log.contains("broken off by the recorder"), "{log}");
    verified(&env);
    // The next look finds nothing more to do.
    assert_eq!(env.run(&["log", "last"]).sound(), log);
}

#[test]
fn two_recorders_share_one_store() {
    let env = work();
    let upstream = echo();
    let (one, two) =
        (Running::record(&env, &upstream, &["--name", "one"]), Running::record(&env, &upstream, &["--name", "two"]));
    for text in ["a", "b", "c"] {
        assert_eq!(one.post("/v1/chat/completions", &chat(text)).status, 200);
        assert_eq!(two.post("/v1/chat/completions", &chat(text)).status, 200);
    }
    assert_eq!((one.stop().code, two.stop().code), (0, 0));
    verified(&env);
    for name in ["one", "two"] {
        let _ = env.run(&["check", name]).sound();
    }
    let _ = env.run(&["diff", "one", "two"]).sound();
    let three = Running::record(&env, &upstream, &["--name", "three"]);
    assert_eq!(three.post("/v1/chat/completions", &chat("other")).status, 200);
    assert_eq!(three.stop().code, 0);
    let diff = env.run(&["diff", "one", "three"]);
    assert!(diff.code == 1 && diff.stdout.contains("part at turn 1"), "{diff:?}");
}

#[test]
fn named_normalisers_compare_without_what_changes_every_time() {
    let env = work();
    let upstream = echo();
    let text = |id: &str, day: &str| chat(&format!("session {id} in /tmp/tmp{} on {day}", &id[..6]));
    let proxy = Running::record(&env, &upstream, &[]);
    let first = text("0190f1c2-0000-7abc-8def-001122334455", "2026-11-25T10:00:00Z");
    assert_eq!(proxy.post("/v1/chat/completions", &first).status, 200);
    proxy.stop();
    let second = text("abcdef01-0000-4abc-8def-001122334455", "Thu, 26 Nov 2026 11:00:00 UTC");
    for (ways, status) in [("date,tmp-paths,uuids", 200), ("date,uuids", 400)] {
        let proxy = Running::replay(&env, &["--normalise", ways]);
        assert_eq!(proxy.post("/v1/chat/completions", &second).status, status, "{ways}");
        let ended = proxy.stop();
        assert!(ended.said.contains("compared without") && ended.said.contains("uuids/1"), "{}", ended.said);
    }
}
