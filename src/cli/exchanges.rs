//! Recorded exchanges as a person reads them: one line each, or the turns that each one adds to its conversation.

use serde_json::{Value, json};

use crate::canon::RunId;
use crate::proxy::view::{Conversation, Reply, Turn};
use crate::proxy::{Exchange, sampling};
use crate::store::{Store, StoredEvent};

use super::recorded::exchange_failure;
use super::ui::{Tone, printable};
use super::{Failure, Ui};

/// Lines of a turn that are shown unless everything is asked for.
const LINES: usize = 24;

/// What was shown of the conversation so far, so that a call shows only what it adds.
#[derive(Default)]
pub(crate) struct Shown(Vec<Turn>);

/// One exchange, read for showing.
pub(crate) struct Readable {
    exchange: Exchange,
    asked: Option<Conversation>,
    reply: Option<Reply>,
    elapsed_us: Option<u64>,
}

impl Readable {
    /// Reads an exchange of a store.
    ///
    /// # Errors
    /// A store that fails, or holds bytes that are not what their digests say.
    pub(crate) fn of(store: &Store, run: RunId, event: &StoredEvent) -> Result<Self, Failure> {
        let exchange = Exchange::of_store(store, run, event).map_err(exchange_failure)?;
        let observation: Value = serde_json::from_str(&event.observation).unwrap_or_default();
        let (asked, reply) = (exchange.conversation(), exchange.turn());
        Ok(Self { exchange, asked, reply, elapsed_us: crate::proxy::times(&observation).map(|(_, took)| took) })
    }

    /// Returns what it is in one line.
    pub(crate) fn line(&self) -> String {
        let head = &self.exchange.head;
        let mut words = vec![format!("{} {}  {}", head.method, head.target, head.status)];
        let model = self.reply.as_ref().map(|reply| reply.model.as_str()).filter(|model| !model.is_empty());
        words.extend(model.or(self.asked.as_ref().map(|asked| asked.model.as_str())).map(str::to_owned));
        if let Some((input, output)) = self.tokens() {
            words.push(format!("{input} + {output} tokens"));
        }
        words.extend(self.exchange.grade().map(|grade| sampling::word(grade).to_owned()));
        if self.exchange.received.is_some() {
            words.push("rewritten".into());
        }
        if let Some(aborted) = &head.aborted {
            words.push(format!("broken off by the {} at byte {}", aborted.by.word(), aborted.at));
        }
        words.extend(head.answered.as_ref().map(|answered| format!("the proxy answered {}", answered.status)));
        words.extend(self.elapsed_us.map(|us| format!("{} ms", us / 1000)));
        printable(&words.join("  "))
    }

    /// Returns it as JSON: the turns, not the bytes.
    pub(crate) fn json(&self) -> Value {
        let head = &self.exchange.head;
        json!({
            "method": head.method,
            "target": head.target,
            "status": head.status,
            "service": head.service,
            "model": self.asked.as_ref().map(|asked| &asked.model),
            "turns": self.asked.as_ref().map(|asked| &asked.turns),
            "tools": self.asked.as_ref().map(|asked| &asked.tools),
            "reply": self.reply,
            "grade": self.exchange.grade(),
            "rewritten": self.exchange.received.is_some(),
            "aborted": head.aborted,
            "answered": head.answered,
            "elapsed_us": self.elapsed_us,
        })
    }

    fn tokens(&self) -> Option<(u64, u64)> {
        let reply = self.reply.as_ref()?;
        Some((reply.input_tokens?, reply.output_tokens?))
    }

    /// Prints the turns that the request adds to those shown before, and the reply.
    pub(crate) fn print(&self, shown: &mut Shown, is_full: bool, ui: &mut Ui) -> Result<(), Failure> {
        if let Some(asked) = &self.asked {
            let known = shown.0.iter().zip(&asked.turns).take_while(|(a, b)| a == b).count();
            if known > 0 {
                let line = format!("-- {known} turns as before");
                ui.data(ui.tone(Tone::Dim, &line))?;
            }
            for turn in &asked.turns[known..] {
                print_turn(turn, is_full, ui)?;
            }
            shown.0 = asked.turns.clone();
        }
        match &self.reply {
            Some(reply) => {
                if !reply.error.is_empty() {
                    ui.data(format_args!("   {} {}", ui.tone(Tone::Bad, "error:"), printable(&reply.error)))?;
                }
                print_turn(&reply.turn, is_full, ui)?;
                if !reply.stop.is_empty() {
                    let line = format!("-- stopped: {}", printable(&reply.stop));
                    ui.data(ui.tone(Tone::Dim, &line))?;
                }
                shown.0.push(reply.turn.clone());
                Ok(())
            }
            None => {
                let line = format!("-- {} bytes (--event N --body reply)", self.exchange.reply.len());
                ui.data(ui.tone(Tone::Dim, &line))
            }
        }
    }
}

fn print_turn(turn: &Turn, is_full: bool, ui: &mut Ui) -> Result<(), Failure> {
    let role = ui.tone(Tone::Strong, &printable(&turn.role));
    ui.data(format_args!("<{role}>"))?;
    if !turn.reasoning.is_empty() {
        let line = format!("   (thought {} characters)", turn.reasoning.chars().count());
        ui.data(ui.tone(Tone::Dim, &line))?;
    }
    let lines: Vec<&str> = turn.text.lines().collect();
    let most = if is_full { lines.len() } else { lines.len().min(LINES) };
    for line in &lines[..most] {
        ui.data(format_args!("   {}", printable(line)))?;
    }
    if most < lines.len() {
        let rest = format!("   … {} more lines (--full)", lines.len() - most);
        ui.data(ui.tone(Tone::Dim, &rest))?;
    }
    for call in &turn.calls {
        let (name, arguments) = (printable(&call.name), printable(&call.arguments));
        let arguments: String = if is_full { arguments } else { arguments.chars().take(400).collect() };
        ui.data(format_args!("   → {name}({arguments})"))?;
    }
    Ok(())
}

/// Says in which turn two requests part.
pub(crate) fn parting(left: &Exchange, right: &Exchange) -> Option<String> {
    let (a, b) = (left.conversation()?, right.conversation()?);
    let at = a.turns.iter().zip(&b.turns).take_while(|(a, b)| a == b).count();
    let role = |turns: &[Turn]| turns.get(at).map_or("its end".to_owned(), |turn| format!("a turn of {}", turn.role));
    (a.turns != b.turns).then(|| {
        format!(
            "the conversations part at turn {}: the first has {}, the second {}",
            at + 1,
            role(&a.turns),
            role(&b.turns)
        )
    })
}
