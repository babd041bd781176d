//! Replies that are JSON or shaped like a tool call.

use serde_json::{Map, Value};

use super::code::Code;
use super::notes::Notes;
use super::scan::{Block, Fence, FenceRole};

const DEPTH: usize = 6;
const MOST_EDITS: usize = 100;

/// Returns the edits in a reply that is JSON from end to end, or whose only fence is.
pub(super) fn blocks(text: &str, fences: &[Fence], notes: &mut Notes) -> Vec<Block> {
    let mut found = Vec::new();
    let trimmed = text.trim();
    if trimmed.starts_with(['{', '[']) {
        read(trimmed, &mut found);
    }
    if found.is_empty()
        && let [fence] = fences
    {
        read(fence.lines.join("\n").trim(), &mut found);
    }
    if !found.is_empty() {
        notes.add(Code::Json);
    }
    found
}

fn read(text: &str, found: &mut Vec<Block>) {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        collect(&value, DEPTH, found);
    }
}

fn collect(value: &Value, depth: usize, found: &mut Vec<Block>) {
    if depth == 0 || found.len() >= MOST_EDITS {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth - 1, found)),
        Value::Object(map) => {
            if let Some(block) = block(map) {
                found.push(block);
                return;
            }
            for key in ["edits", "changes", "tool_calls", "function", "arguments", "parameters", "input"] {
                match map.get(key) {
                    // Tool calls carry their arguments as JSON text.
                    Some(Value::String(text)) => {
                        if let Ok(inner) = serde_json::from_str(text) {
                            collect(&inner, depth - 1, found);
                        }
                    }
                    Some(inner) => collect(inner, depth - 1, found),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn block(map: &Map<String, Value>) -> Option<Block> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| map.get(*key)?.as_str().map(str::to_owned));
    let number = |keys: &[&str]| keys.iter().find_map(|key| map.get(*key)?.as_u64());
    let path = text(&["file", "path", "filename", "file_path", "filepath"])?;
    let action = text(&["action", "operation", "command"]);
    let new = text(&["code", "new_code", "new", "replacement", "new_text", "new_str", "content", "text", "file_text"]);
    if new.is_none() && action.is_none() {
        return None;
    }
    let start = number(&["start", "start_line", "line_start", "from", "line"]);
    let end = number(&["end", "end_line", "line_end", "to"]);
    let lines = match (start, end, map.get("lines")) {
        (Some(start), end, _) => Some(format!("{start}-{}", end.unwrap_or(start))),
        (None, _, Some(Value::String(lines))) => Some(lines.clone()),
        (None, _, Some(Value::Array(ends))) => match ends.as_slice() {
            [first, last] => Some(format!("{first}-{last}")),
            _ => None,
        },
        _ => None,
    };
    let content =
        |text: String| text.replace("\r\n", "\n").trim_end_matches('\n').split('\n').map(str::to_owned).collect();
    let fences = new.map(|new| Fence {
        role: FenceRole::New,
        info: String::new(),
        lines: if new.is_empty() { Vec::new() } else { content(new) },
        closed: true,
        above: String::new(),
    });
    Some(Block {
        path: Some(path),
        action,
        lines,
        reasoning: text(&["reasoning", "reason", "explanation", "why"]),
        fences: fences.into_iter().collect(),
        from_json: true,
        old: text(&["old_str", "old_code", "old", "search", "old_text"]).map(content),
        ..Block::default()
    })
}
