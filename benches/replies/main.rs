//! Asks the embedded model for repairs of many small bugs and counts what becomes of its replies; see the README.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring program reads arguments, prints, and may stop at the first failure"
)]

mod big;
mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::edit::{self, Context, Format, Proposal, Refusal};
use runproof::model::{self, Constraint, ConstraintFile, Identity, Limits, Model, Reply, Request, Sampling, Stop};
use runproof::prompt::{self, Budget, Prompt};
use tasks::Task;

/// One form of prompt.
struct Form {
    name: &'static str,
    format: Format,
    budget: Budget,
    /// Says whether the default skills are shown.
    has_skills: bool,
    /// Says whether an earlier attempt is told.
    is_retry: bool,
}

const fn form(name: &'static str, format: Format, context_tokens: u32) -> Form {
    let budget = Budget { context_tokens, reply_tokens: 256 };
    Form { name, format, budget, has_skills: false, is_retry: false }
}

const FORMS: [Form; 5] = [
    form("small", Format::Direct, 2048),
    form("full", Format::Direct, 2816),
    form("patch", Format::Patch, 2816),
    Form { has_skills: true, ..form("skills", Format::Direct, 3584) },
    Form { is_retry: true, ..form("retry", Format::Direct, 2816) },
];

/// What became of the replies of one form.
#[derive(Default)]
struct Count {
    replies: usize,
    parsed: usize,
    applied: usize,
    codes: BTreeMap<String, usize>,
}

fn main() {
    let options = options();
    if options.contains_key("big") {
        return big::table();
    }
    let folder = PathBuf::from(options.get("out").map_or("benches/replies/out", String::as_str));
    std::fs::create_dir_all(&folder).unwrap();
    let real = match (options.get("instances"), options.get("repos")) {
        (Some(instances), Some(repos)) => tasks::real(Path::new(instances), Path::new(repos)),
        _ => Vec::new(),
    };
    let tasks = tasks::mixed(tasks::small(), real);
    let most = options.get("tasks").map_or(usize::MAX, |text| text.parse().unwrap());
    let step = tasks.len().div_ceil(most).max(1);
    let (mut model, identity) = open(&options);
    let skills = prompt::default_skills();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (index, task) in tasks.iter().step_by(step).enumerate() {
        // The last two forms take turns: they cost most and tell least.
        for form in FORMS.iter().take(3).chain(&FORMS[3 + index % 2..4 + index % 2]) {
            let Some(prompt) = prompt(task, form, &skills) else {
                println!("{:<6} {:<40} no prompt: it does not fit", form.name, task.name);
                continue;
            };
            // The engine holds a reply to the form of direct edits, not to that of a diff.
            let ways: &[bool] = if form.format == Format::Direct { &[true, false] } else { &[false] };
            for &constrained in ways {
                let key = format!("{} {}", form.name, if constrained { "constrained" } else { "free" });
                let kept = folder.join(format!("{}-{}.reply", key.replace(' ', "-"), task.name));
                let reply = ask(model.as_mut(), &identity, &prompt, form.budget, constrained, &kept);
                let read = read(task, form.format, &reply);
                let outcome = tally(counts.entry(key.clone()).or_default(), &read);
                println!("{key:<18} {:<40} {outcome}", task.name);
                let patch = read.as_ref().map(|proposal| diff(task, proposal)).unwrap_or_default();
                let asked = &prompt.messages.last().unwrap().content;
                let text = format!("{outcome}\n=== asked\n{asked}\n=== reply\n{}\n=== diff\n{patch}", reply.text);
                std::fs::write(kept.with_extension("txt"), text).unwrap();
            }
        }
    }
    report(&counts);
}

fn options() -> BTreeMap<String, String> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut options = BTreeMap::new();
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").expect("options begin with --").to_owned();
        options.insert(name, words.next().expect("each option has a value"));
    }
    options
}

fn open(options: &BTreeMap<String, String>) -> (Box<dyn Model>, Identity) {
    let name =
        options.get("model").map_or("embedded:smollm2-135m", String::as_str).parse::<model::ModelName>().unwrap();
    let home = std::env::var("HOME").unwrap();
    let access = model::Access {
        address: None,
        key: None,
        network: model::Network::default(),
        ollama: model::OllamaSettings::default(),
        places: model::weights::Places {
            cache: Some(PathBuf::from(home).join(".cache/runproof/weights")),
            ollama: None,
        },
        threads: options.get("threads").map_or(1, |text| text.parse().unwrap()),
    };
    let mut model = model::open(&name, &access).unwrap();
    let resolved = model.resolve().unwrap();
    let identity = model::identity(name.provider, &resolved.raw).unwrap();
    (model, Identity::from_bytes(&identity).unwrap())
}

fn prompt(task: &Task, form: &Form, skills: &[prompt::Skill]) -> Option<Prompt> {
    let files = [(task.path.clone(), task.text.clone())];
    let outcome = "the tests failed as before".to_owned();
    let earlier = prompt::AttemptNote { number: 1, outcome, ..prompt::AttemptNote::default() };
    let input = prompt::Input {
        instance: &task.instance,
        files: &files,
        feedback: if form.is_retry { std::slice::from_ref(&earlier) } else { &[] },
        failing: &task.failing,
        protected: &|_| false,
        skills: if form.has_skills { skills } else { &[] },
        format: form.format,
        listing: prompt::Listing::default(),
        budget: form.budget,
    };
    prompt::build(&input).ok()
}

/// Returns the reply that is kept in a file, or asks for one and keeps it: the same request is asked once.
fn ask(
    model: &mut dyn Model,
    identity: &Identity,
    prompt: &Prompt,
    budget: Budget,
    constrained: bool,
    kept: &Path,
) -> Reply {
    let files = prompt.constraint.iter().map(|(path, lines)| ConstraintFile { path: path.clone(), lines: *lines });
    let request = Request {
        model: identity.clone(),
        messages: prompt.messages.clone(),
        sampling: Sampling::greedy(42),
        limits: Limits { context_tokens: budget.context_tokens, max_tokens: budget.reply_tokens },
        constraint: constrained.then(|| Constraint { files: files.collect() }),
    };
    let head = format!("{}\n", Blake3::of(&request.to_bytes()));
    let known = std::fs::read(kept).ok().and_then(|bytes| bytes.strip_prefix(head.as_bytes()).map(<[u8]>::to_vec));
    let canonical = known.unwrap_or_else(|| {
        let answer = model.call(&request, &mut |_| {}).unwrap();
        let canonical = model::normalise(&request, &answer.sent, &answer.raw).unwrap();
        std::fs::write(kept, [head.as_bytes(), &canonical].concat()).unwrap();
        canonical
    });
    Reply::from_bytes(&canonical).unwrap()
}

fn read(task: &Task, format: Format, reply: &Reply) -> Result<Proposal, Refusal> {
    let mut tree = Tree::default();
    let digest = Blake3::of(&task.text);
    tree.insert(task.path.clone(), TreeEntry { mode: FileMode::Regular, digest, size: task.text.len() as u64 });
    let shown = BTreeMap::from([(task.path.clone(), task.text.clone())]);
    let context = Context {
        tree: &tree,
        shown: &shown,
        cut_off: reply.stop == Stop::Length,
        protected: &|path| edit::is_protected(&[], path),
        limits: edit::Limits::default(),
    };
    format.propose(reply.text.as_bytes(), &context, &mut |_| None)
}

fn diff(task: &Task, proposal: &Proposal) -> String {
    let before = |path: &str| (path == task.path).then(|| (task.text.clone(), FileMode::Regular));
    String::from_utf8_lossy(&edit::patch(&before, proposal)).into_owned()
}

/// Counts one reply and says what became of it.
fn tally(count: &mut Count, read: &Result<Proposal, Refusal>) -> String {
    use edit::Code;
    /// Refusals of replies in which no edit could be read at all.
    const UNREAD: [Code; 7] =
        [Code::NoEdit, Code::Truncated, Code::NoBody, Code::Binary, Code::Empty, Code::NoDiff, Code::Malformed];
    count.replies += 1;
    match read {
        Ok(proposal) => {
            count.parsed += 1;
            count.applied += 1;
            let codes: Vec<&str> = proposal.codes.iter().map(|code| code.as_str()).collect();
            format!("applied {}", codes.join(" "))
        }
        Err(refusal) => {
            count.parsed += usize::from(!UNREAD.contains(&refusal.code));
            *count.codes.entry(refusal.code.to_string()).or_default() += 1;
            format!("refused {} {}", refusal.code, refusal.message)
        }
    }
}

fn report(counts: &BTreeMap<String, Count>) {
    println!();
    for (form, count) in counts {
        let share = |part: usize| 100.0 * part as f64 / count.replies.max(1) as f64;
        let codes: Vec<String> = count.codes.iter().map(|(code, number)| format!("{code} {number}")).collect();
        println!(
            "{form}: {} replies, {} parsed ({:.1} %), {} applied ({:.1} %), refused: {}",
            count.replies,
            count.parsed,
            share(count.parsed),
            count.applied,
            share(count.applied),
            codes.join(", ")
        );
    }
    let sum = |part: fn(&Count) -> usize| counts.values().map(part).sum::<usize>();
    println!(
        "all: {} replies, {} parsed, {} applied",
        sum(|count| count.replies),
        sum(|count| count.parsed),
        sum(|count| count.applied)
    );
}
