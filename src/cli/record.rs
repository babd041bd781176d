//! `record`: runs somebody's agent with a recording proxy between it and its models.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::proxy::{
    Allowed, Ending, Header, Listening, Normalise, Recorded, Recording, Sampling, Scan, Secrets, Upstreams,
    record as start,
};
use crate::store::{Access, Durability, NewRun, Store};
use crate::transcript::TranscriptError;

use super::agent::{Agent, Started, until_signal};
use super::args::Global;
use super::replay::transcript_failure;
use super::runs::short;
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Variables that name a proxy on the way to servers, which is not taken.
const UNUSED: [&str; 5] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"];

/// Runs a command with a recording proxy between it and its models.
///
/// The command finds the proxy by the variables of the known clients (OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST
/// and others; docs/record.md lists them), or wherever {proxy} stands in its words. Every call is recorded before its
/// end is handed on. The exit code is the command's own; 4 if no call arrived or one could not be recorded.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Name of the run, for people; the program's name otherwise.
    #[arg(long)]
    name: Option<String>,
    /// Where the proxy listens. Without a command it records until Ctrl-C.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", env = "RUNPROOF_LISTEN")]
    listen: SocketAddr,
    /// What happens to calls that are not greedy and seeded: `require` refuses them, `enforce` sets what can be set and
    /// records both requests, `observe` only grades.
    #[arg(long, value_enum, default_value_t = SamplingChoice::Enforce, env = "RUNPROOF_SAMPLING")]
    sampling: SamplingChoice,
    /// The seed that is set where one is missing.
    #[arg(long, default_value_t = 42)]
    seed: u32,
    /// Where OpenAI's API is; OPENAI_BASE_URL or OPENAI_API_BASE of this environment otherwise, then OpenAI's own.
    #[arg(long, value_name = "URL")]
    upstream_openai: Option<String>,
    /// Where Anthropic's API is; ANTHROPIC_BASE_URL otherwise, then Anthropic's own.
    #[arg(long, value_name = "URL")]
    upstream_anthropic: Option<String>,
    /// Where Ollama is; OLLAMA_HOST or OLLAMA_API_BASE otherwise, then this machine's.
    #[arg(long, value_name = "URL")]
    upstream_ollama: Option<String>,
    /// What happens to a request whose body holds something like a credential. Bodies are never rewritten.
    #[arg(long, value_enum, default_value_t = SecretsChoice::Warn)]
    secrets: SecretsChoice,
    /// Leaves volatile text out of the keys of requests: `date`, `tmp-paths`, `uuids`, `codex`. It is recorded, and lowers the grade.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = super::recorded::parse_normalise)]
    normalise: Vec<Normalise>,
    /// A further name by which the proxy may be asked, such as host.docker.internal.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// The longest silence of a server, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    silence: u64,
    /// Prints the outcome as JSON, after whatever the command printed.
    #[arg(long)]
    json: bool,
    /// The command, after `--`. {proxy} in it becomes the proxy's address.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What happens to calls that are not greedy and seeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SamplingChoice {
    /// Refuses them and tells the client why.
    Require,
    /// Sets what can be set; both requests are recorded.
    Enforce,
    /// Records and grades them.
    Observe,
}

/// What happens to bodies that hold something like a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SecretsChoice {
    /// Says so at the end.
    Warn,
    /// Refuses the request.
    Refuse,
}

pub(crate) fn record(args: &RecordArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let settings = settings(args, &global.store)?;
    let listener = listen(args.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::new(FailureKind::Environment, error))?;
    let url = format!("http://{}", reachable(address));
    let agent = Agent::new(&args.command, &url, false);
    let program = agent.as_ref().map_or("", Agent::name).to_owned();
    let run = Host::new_run_id()?;
    super::recorded::salvage(&global.store);
    let store = Store::open(&global.store, Access::Create, Durability::Full)?;
    let fallback = if program.is_empty() { "recording" } else { &program };
    let row = NewRun {
        id: run,
        name: args.name.as_deref().unwrap_or(fallback),
        kind: super::recorded::KIND,
        instance: fallback,
        arm: "",
        model: "",
        tests: "",
        orchestration: crate::proxy::NORMALISER,
        started_ms: Host::now_us() / 1000,
    };
    // A command that does not start leaves no run. Its first call waits at the listener until there is a proxy.
    let agent = agent.map(Agent::start).transpose()?;
    let (id, proxy) = match begin(store, &row, listener, settings) {
        Ok(begun) => begun,
        Err(failure) => {
            agent.into_iter().for_each(Started::kill);
            return Err(failure);
        }
    };
    for name in UNUSED.iter().filter(|name| Host::variable(name).is_some()) {
        ui.warn(format_args!("servers are asked directly: {name} is not used"));
    }
    ui.say(format_args!("run {id}  recording at {url}  sampling: {}", args.sampling.rule().word()));
    let ended = match agent {
        Some(agent) => agent.end().map(Some),
        None => until_signal().map(|()| None),
    };
    let exit = ended.as_ref().ok().copied().flatten();
    let recorded = proxy.stop()(Ending { exit });
    let outcome = report(args, &id, exit, &recorded, ui);
    // What was recorded is durable; closing only tidies up.
    let closed = recorded.store.close();
    ended?;
    if let Some(error) = recorded.failed {
        return Err(unrecorded(error));
    }
    let exit = outcome?;
    closed?;
    Ok(exit)
}

type Proxy = Listening<Box<dyn FnOnce(Ending) -> Recorded + Send>>;

/// Begins the run and the proxy that records into it.
fn begin(
    mut store: Store,
    row: &NewRun<'_>,
    listener: TcpListener,
    settings: Recording,
) -> Result<(String, Proxy), Failure> {
    store.begin_run(row)?;
    let id = short(&store, row.id);
    let proxy = start(listener, store, row.id, settings)
        .map_err(|error| Failure::new(FailureKind::Environment, format!("the proxy does not start: {error}")))?;
    Ok((id, proxy))
}

fn report(args: &RecordArgs, id: &str, exit: Option<i32>, recorded: &Recorded, ui: &mut Ui) -> Result<Exit, Failure> {
    for found in &recorded.found {
        ui.warn(format_args!("{found}; it is recorded as it is (--secrets refuse keeps such requests out)"));
    }
    for masked in &recorded.masked {
        ui.warn(format_args!("{masked}; it is recorded as <secret>"));
    }
    for refused in &recorded.refused {
        ui.warn(format_args!("refused: {refused}"));
    }
    if recorded.redirected > 0 {
        ui.warn(format_args!("{} redirects of a server were not followed", recorded.redirected));
    }
    if recorded.cut_off > 0 {
        let (calls, are) = if recorded.cut_off == 1 { ("call", "is") } else { ("calls", "are") };
        ui.warn(format_args!(
            "{} {calls} still under way at the end {are} kept as far as they came, marked as broken off by the recorder",
            recorded.cut_off
        ));
    }
    if args.json {
        ui.json(&json!({
            "run": id,
            "exchanges": recorded.exchanges,
            "cut_off": recorded.cut_off,
            "refused": recorded.refused.len(),
            "exit": exit,
            "raw_root": recorded.roots.raw(),
            "canonical_root": recorded.roots.canonical(),
        }))?;
    } else {
        let calls = if recorded.exchanges == 1 { "call" } else { "calls" };
        ui.say(format_args!("run {id}  {} {calls} recorded  (`runproof show {id}`)", recorded.exchanges));
    }
    let command = args.command.first().map(|word| word.to_string_lossy().into_owned());
    // Whoever ended it by a signal knows why it did not ask.
    let is_ended_by_signal = exit.is_some_and(|code| code > 128);
    let is_silent = recorded.exchanges == 0 && recorded.refused.is_empty() && !is_ended_by_signal;
    if let Some(command) = command.filter(|_| is_silent) {
        let message = format!("no call arrived: {command} asked no model, or went past the proxy");
        let hint =
            "docs/record.md says how each known client is set up; {proxy} in the command becomes the proxy's address";
        return Err(Failure::new(FailureKind::Environment, message).hint(hint));
    }
    Ok(match exit {
        Some(code) => Exit::Command(u8::try_from(code).unwrap_or(255)),
        None => Exit::Sound,
    })
}

fn unrecorded(error: TranscriptError) -> Failure {
    let failure = transcript_failure(error);
    let hint = "the exchanges before it are kept, and the run is marked incomplete";
    Failure::new(FailureKind::Environment, format!("an exchange could not be recorded: {}", failure.message))
        .hint(failure.hint.map_or_else(|| hint.to_owned(), |first| format!("{first}; {hint}")))
}

fn settings(args: &RecordArgs, store: &Path) -> Result<Recording, Failure> {
    let variable = |names: &[&str]| names.iter().find_map(|name| Host::variable(name));
    let pick = |flag: &Option<String>, names: &[&str], default: &str| {
        flag.clone().or_else(|| variable(names)).unwrap_or_else(|| default.to_owned())
    };
    let openai = pick(&args.upstream_openai, &["OPENAI_BASE_URL", "OPENAI_API_BASE"], "https://api.openai.com/v1");
    let anthropic =
        pick(&args.upstream_anthropic, &["ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"], "https://api.anthropic.com");
    let ollama = pick(&args.upstream_ollama, &["OLLAMA_HOST", "OLLAMA_API_BASE"], "http://127.0.0.1:11434");
    let ollama = ollama_address(&ollama);
    let upstreams = Upstreams::new(&openai, &anthropic, &ollama).map_err(|error| {
        let hint = "an address is http[s]://HOST[:PORT][/PATH]";
        Failure::new(FailureKind::Usage, error).hint(hint)
    })?;
    Ok(Recording {
        upstreams,
        header: Header {
            sampling: args.sampling.rule(),
            seed: args.seed,
            secrets: match args.secrets {
                SecretsChoice::Warn => Scan::Warn,
                SecretsChoice::Refuse => Scan::Refuse,
            },
            normalise: super::recorded::in_order(&args.normalise),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        allowed: allowed(&args.allow_host),
        secrets: Secrets::new(Host::secrets()),
        silence: Duration::from_secs(args.silence),
        clock: Host::clock(),
        path: store.to_owned(),
    })
}

/// Reads an address of Ollama as its own programs do: the port is 11434 where neither scheme nor port is given.
fn ollama_address(text: &str) -> String {
    let text = text.trim().replace("0.0.0.0", "127.0.0.1");
    if text.contains("://") {
        return text;
    }
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { format!("http://{text}") } else { format!("http://{text}:11434") }
}

/// Returns the names by which a proxy may be asked.
pub(crate) fn allowed(names: &[String]) -> Allowed {
    Allowed(names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

/// Listens at an address.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let failure = Failure::new(FailureKind::Environment, format!("cannot listen at {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("port 0 takes a free one"),
            _ => failure,
        }
    })
}

/// Returns the address by which a program of this machine reaches a listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

impl SamplingChoice {
    fn rule(self) -> Sampling {
        match self {
            Self::Require => Sampling::Require,
            Self::Enforce => Sampling::Enforce,
            Self::Observe => Sampling::Observe,
        }
    }
}
