//! Asks the embedded model for repairs of many small bugs and counts what becomes of its replies; see the README.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring program reads arguments, prints, and may stop at the first failure"
)]

mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::edit::{self, Context, Format, Proposal, Refusal};
use runproof::model::{self, Constraint, ConstraintFile, Identity, Limits, Model, Reply, Request, Sampling, Stop};
use runproof::prompt::{self, Budget, Prompt};
use tasks::Task;

/// Context, reply limit and name of each form of prompt that is asked.
const FORMS: [(&str, Format, u32, u32); 3] =
    [("small", Format::Direct, 2048, 48), ("full", Format::Direct, 2560, 96), ("patch", Format::Patch, 2560, 128)];

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
    let folder = PathBuf::from(options.get("out").map_or("benches/replies/out", String::as_str));
    std::fs::create_dir_all(&folder).unwrap();
    let mut tasks = tasks::small();
    if let (Some(instances), Some(repos)) = (options.get("instances"), options.get("repos")) {
        tasks.extend(tasks::real(Path::new(instances), Path::new(repos)));
    }
    let most = options.get("tasks").map_or(usize::MAX, |text| text.parse().unwrap());
    let (mut model, identity) = open(&options);
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (form, format, context_tokens, reply_tokens) in FORMS {
        let step = tasks.len().div_ceil(most).max(1);
        for task in tasks.iter().step_by(step) {
            let budget = Budget { context_tokens, reply_tokens };
            let Some(prompt) = prompt(task, format, budget) else {
                println!("{form:<6} {:<40} no prompt: it does not fit", task.name);
                continue;
            };
            // The engine holds a reply to the form of direct edits, not to that of a diff.
            let ways: &[bool] = if format == Format::Direct { &[true, false] } else { &[false] };
            for &constrained in ways {
                let reply = ask(model.as_mut(), &identity, &prompt, budget, constrained);
                let read = read(task, format, &reply);
                let key = format!("{form} {}", if constrained { "constrained" } else { "free" });
                let outcome = tally(counts.entry(key.clone()).or_default(), &read);
                println!("{key:<18} {:<40} {outcome}", task.name);
                let number: usize = counts.values().map(|count| count.replies).sum();
                let name = format!("{number:03}-{}-{}.txt", key.replace(' ', "-"), task.name);
                let patch = read.as_ref().map(|proposal| diff(task, proposal)).unwrap_or_default();
                let asked = &prompt.messages.last().unwrap().content;
                let text = format!("{outcome}\n=== asked\n{asked}\n=== reply\n{}\n=== diff\n{patch}", reply.text);
                std::fs::write(folder.join(name), text).unwrap();
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

fn prompt(task: &Task, format: Format, budget: Budget) -> Option<Prompt> {
    let files = [(task.path.clone(), task.text.clone())];
    let input = prompt::Input {
        instance: &task.instance,
        files: &files,
        feedback: &[],
        failing: &task.failing,
        protected: &|_| false,
        skills: &[],
        format,
        budget,
    };
    prompt::build(&input).ok()
}

fn ask(model: &mut dyn Model, identity: &Identity, prompt: &Prompt, budget: Budget, constrained: bool) -> Reply {
    let files = prompt.constraint.iter().map(|(path, lines)| ConstraintFile { path: path.clone(), lines: *lines });
    let request = Request {
        model: identity.clone(),
        messages: prompt.messages.clone(),
        sampling: Sampling::greedy(42),
        limits: Limits { context_tokens: budget.context_tokens, max_tokens: budget.reply_tokens },
        constraint: constrained.then(|| Constraint { files: files.collect() }),
    };
    let answer = model.call(&request, &mut |_| {}).unwrap();
    let canonical = model::normalise(&request, &answer.sent, &answer.raw).unwrap();
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
