//! `diff`: two runs side by side, up to the first event in which they part.

use clap::Args;
use serde_json::json;

use crate::proxy::Exchange;
use crate::store::{RunRow, Store, StoredEvent};
use crate::transcript::{Divergence, Kind};

use super::args::Global;
use super::exchanges;
use super::recorded::exchange_failure;
use super::runs::{find_run, open_store, short};
use super::ui::{Tone, printable};
use super::{Exit, Failure, Ui};

/// Compares two runs event by event in canonical form and shows where they first part.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The first run: an id, a unique prefix of one, a name, or `last`.
    left: String,
    /// The second run.
    right: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn diff(args: &DiffArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    let (left, right) = (find_run(&store, &args.left)?, find_run(&store, &args.right)?);
    let (left_events, right_events) = (canonical_events(&store, &left)?, canonical_events(&store, &right)?);
    let equal = left_events.iter().zip(&right_events).take_while(|(a, b)| same(a, b)).count();
    let parted = match (left_events.get(equal), right_events.get(equal)) {
        (None, None) => None,
        (Some(a), Some(b)) if a.kind == b.kind => Some(first_difference(&store, (&left, a), (&right, b))?),
        (a, b) => {
            let name =
                |event: Option<&StoredEvent>| event.map_or("its end".into(), |event| format!("a {}", event.kind));
            Some((equal as u64, format!("the first run has {} here, the second {}", name(a), name(b)), None))
        }
    };
    let exit = if parted.is_none() { Exit::Sound } else { Exit::Wanting };
    if args.json {
        ui.json(&json!({
            "left": left.id.to_string(),
            "right": right.id.to_string(),
            "equal_events": equal,
            "equal": parted.is_none(),
            "remark": parted.as_ref().map(|(_, remark, _)| remark),
            "pointer": parted.as_ref().and_then(|(_, _, found)| found.as_ref()?.pointer.clone()),
            "offset": parted.as_ref().and_then(|(_, _, found)| Some(found.as_ref()?.offset)),
        }))?;
        return Ok(exit);
    }
    let (l, r) = (short(&store, left.id), short(&store, right.id));
    match parted {
        None => {
            ui.data(format_args!("{l} and {r}: {equal} events, {}", ui.tone(Tone::Good, "equal in canonical form")))?
        }
        Some((_, remark, found)) => {
            ui.data(format_args!("{l} and {r}: {equal} events are equal, then they {}", ui.tone(Tone::Bad, "part")))?;
            ui.data(printable(&remark))?;
            if let Some(found) = found {
                let text = found.to_string().replace("recorded", "first   ").replace("replayed", "second  ");
                ui.data(printable(&text))?;
            }
        }
    }
    Ok(exit)
}

/// Returns the events that the canonical root covers.
fn canonical_events(store: &Store, row: &RunRow) -> Result<Vec<StoredEvent>, Failure> {
    let mut events = store.events(row.id)?;
    events.retain(|event| event.kind != "failed_try");
    for event in &mut events {
        event.bodies.retain(|body| !["reply", "sent", "received"].contains(&body.slot.as_str()));
    }
    Ok(events)
}

fn same(a: &StoredEvent, b: &StoredEvent) -> bool {
    a.kind == b.kind && a.data == b.data && a.bodies == b.bodies
}

type Parting = (u64, String, Option<Divergence>);

fn first_difference(
    store: &Store,
    (left, a): (&RunRow, &StoredEvent),
    (right, b): (&RunRow, &StoredEvent),
) -> Result<Parting, Failure> {
    let at = u64::from(a.seq);
    for body in &a.bodies {
        let other = b.body(&body.slot);
        if other == Some(body) {
            continue;
        }
        if other.is_none() {
            return Ok((at, format!("event {} ({}): only the first run has a {}", a.seq, a.kind, body.slot), None));
        }
        let bytes = (store.body(left.id, a.seq, &body.slot)?, store.body(right.id, b.seq, &body.slot)?);
        let found = Divergence::of_bytes(a.seq, &a.kind, &body.slot, &bytes.0, &bytes.1);
        let mut remark = format!("event {} ({}): the {} differs", a.seq, a.kind, body.slot);
        if a.kind == Kind::Exchange.name() && body.slot == "request" {
            let read = |row: &RunRow, event| Exchange::of_store(store, row.id, event).map_err(exchange_failure);
            let turn = exchanges::parting(&read(left, a)?, &read(right, b)?);
            remark.extend(turn.map(|turn| format!("; {turn}")));
        }
        return Ok((at, remark, Some(found)));
    }
    let found = Divergence::of_bytes(a.seq, &a.kind, "data", &a.data, &b.data);
    Ok((at, format!("event {} ({}): the data differs", a.seq, a.kind), Some(found)))
}
