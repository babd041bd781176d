//! The embedded engine as a model, on a tiny model made from a seed.

use std::fs;
use std::path::{Path, PathBuf};

use runproof::canon::Sha256;
use runproof::engine::tiny::{TinyKind, weights};
use runproof::model::weights::Places;
use runproof::model::{
    Access, Constraint, ConstraintFile, Fault, Grade, Identity, Limits, Message, Model, ModelName, Network,
    OllamaSettings, Provider, Reply, Request, Role, Sampling, identity, normalise, open,
};

use crate::env::TestEnv;

fn tiny(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.gguf");
    fs::write(&path, weights(7, TinyKind::Q4_1)).expect("the folder can be written");
    path
}

fn access(threads: usize) -> Access {
    let (network, ollama) = (Network::default(), OllamaSettings::default());
    Access { address: None, key: None, network, ollama, places: Places::default(), threads }
}

fn opened(path: &Path, threads: usize) -> (Box<dyn Model>, Identity) {
    let name: ModelName = format!("embedded:{}", path.display()).parse().expect("a sound name");
    let mut model = open(&name, &access(threads)).expect("sound weights");
    let raw = model.resolve().expect("the weights are loaded").raw;
    let identity = identity(Provider::Embedded, &raw).expect("sound bytes");
    (model, Identity::from_bytes(&identity).expect("canonical bytes"))
}

fn request(model: Identity) -> Request {
    Request {
        model,
        messages: vec![Message { role: Role::User, content: "LINES in a FILE, 12 of them".into() }],
        sampling: Sampling::greedy(42),
        limits: Limits { context_tokens: 256, max_tokens: 24 },
        constraint: None,
    }
}

#[test]
fn the_same_bytes_come_with_any_number_of_threads_and_any_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    let mut answers = Vec::new();
    for (threads, seed) in [(1, 42), (2, 137)] {
        let (mut model, identity) = opened(&path, threads);
        assert_eq!(identity.digest, Some(Sha256::of(&weights(7, TinyKind::Q4_1)).to_string()));
        assert!(!String::from_utf8(identity.to_bytes()).unwrap().contains("tmp"));
        let mut request = request(identity);
        request.sampling = Sampling::greedy(seed);
        let mut seen = Vec::new();
        let answer = model.call(&request, &mut |progress| seen.push(progress)).unwrap();
        let again = model.call(&request, &mut |_| ()).unwrap();
        assert_eq!(answer.raw, again.raw);
        let reply = Reply::from_bytes(&normalise(&request, &answer.sent, &answer.raw).unwrap()).unwrap();
        assert_eq!((reply.grade, reply.completion_tokens), (Grade::BitExact, Some(seen.last().unwrap().tokens)));
        assert_eq!(reply.prompt_tokens, seen.last().unwrap().prompt_tokens);
        answers.push(answer.raw);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_constraint_holds_the_reply_to_the_files_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, identity) = opened(&tiny(folder.path()), 1);
    let files = vec![ConstraintFile { path: "src/a.py".into(), lines: 12 }];
    let request = Request { constraint: Some(Constraint { files }), ..request(identity) };
    let answer = model.call(&request, &mut |_| ()).unwrap();
    let reply = Reply::from_bytes(&normalise(&request, &answer.sent, &answer.raw).unwrap()).unwrap();
    assert!(reply.text.starts_with("FILE: src/a.py\nLINES: "), "{:?}", reply.text);
}

#[test]
fn requests_that_do_not_fit_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, identity) = opened(&tiny(folder.path()), 1);
    let good = request(identity);
    let mut fault = |request: &Request| model.call(request, &mut |_| ()).unwrap_err().fault().clone();
    let sampling = Sampling { temperature: "1".into(), ..Sampling::greedy(1) };
    assert!(matches!(fault(&Request { sampling, ..good.clone() }), Fault::Request { .. }));
    let limits = Limits { context_tokens: 4096, max_tokens: 1 };
    assert_eq!(fault(&Request { limits, ..good.clone() }), Fault::ContextReduced { asked: 4096, effective: 2048 });
    let limits = Limits { context_tokens: 8, max_tokens: 1 };
    assert!(matches!(fault(&Request { limits, ..good.clone() }), Fault::PromptTooLong { context: 8, .. }));
    let other = Identity { digest: Some(Sha256::of(b"other").to_string()), ..good.model.clone() };
    assert!(matches!(fault(&Request { model: other, ..good.clone() }), Fault::Digest { .. }));
    let files = vec![ConstraintFile { path: String::new(), lines: 1 }];
    assert!(matches!(fault(&Request { constraint: Some(Constraint { files }), ..good }), Fault::Engine(_)));
}

#[test]
fn weights_are_checked_while_they_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    let fault = |name: &str| {
        let name: ModelName = name.parse().unwrap();
        open(&name, &access(1)).err().expect("no model").fault().clone()
    };
    let named = |digest: Sha256| format!("embedded:{}@{digest}", path.display());
    let right = Sha256::of(&fs::read(&path).unwrap());
    assert!(open(&named(right).parse().unwrap(), &access(1)).is_ok());
    assert!(matches!(fault(&named(Sha256::of(b"other"))), Fault::Digest { .. }));
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&path, &bytes).unwrap();
    assert!(
        matches!(fault(&format!("embedded:{}", path.display())), Fault::Engine(reason) if reason.contains("truncated"))
    );
    assert!(matches!(fault("embedded:smollm2-135m"), Fault::NoWeights { .. }));
    assert!(matches!(fault("embedded:no-such-model"), Fault::NoSuchModel { .. }));
    assert!(matches!(fault("embedded:no-such.gguf"), Fault::Unreadable { .. }));
}

#[test]
fn model_show_list_and_pull_from_the_command_line() {
    let env = TestEnv::new();
    fs::write(env.work().join("tiny.gguf"), weights(7, TinyKind::F16)).unwrap();
    let shown = env.run(&["model", "show", "tiny.gguf", "--json"]).sound();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["provider"], &shown["context"]), (&"embedded".into(), &2048.into()));
    assert!(env.run(&["model", "show", "tiny.gguf"]).sound().contains("context      2048 tokens"));

    let listed: serde_json::Value = serde_json::from_str(&env.run(&["model", "list", "--json"]).sound()).unwrap();
    assert_eq!((&listed["name"], &listed["source"]), (&"smollm2-135m".into(), &serde_json::Value::Null));
    assert!(env.run(&["model", "list"]).sound().contains("not here"));

    for (args, code, words) in [
        (&["show", "smollm2-135m"][..], 4, "runproof model pull smollm2-135m"),
        (&["show", "none.gguf"], 4, "No such file"),
        (&["show", "ollama:m", "--base-url", "ftp://x"], 2, "neither http nor https"),
        (&["show", "openai:m"], 4, "OPENAI_API_KEY"),
        (&["pull", "nothing"], 2, "known: smollm2-135m"),
        (&["pull", "ollama:m"], 2, "ollama pull m"),
        (&["pull", "smollm2-135m", "--from", "tiny.gguf"], 3, "digest"),
        (&["pull", "smollm2-135m", "--from", "none.whl"], 4, "No such file"),
    ] {
        let output = env.run(&[&["model"], args].concat());
        assert_eq!(output.code, code, "{args:?} {output:?}");
        assert!(output.stderr.contains(words), "{args:?} {}", output.stderr);
    }
    fs::write(env.work().join("broken.gguf"), b"GGUF\x03\0\0\0").unwrap();
    let output = env.run(&["model", "show", "broken.gguf"]);
    assert_eq!(output.code, 3, "{output:?}");
}
