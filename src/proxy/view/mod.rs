//! What an exchange says, as plain data: the conversation that was sent, the turn that came back.
//!
//! Pure functions over recorded bytes, for `show`, `diff`, `log` and exports, and for the canonical form of replies.
//! What cannot be read is no error here: there is then no view, and the bytes speak for themselves.

mod anthropic;
mod chat;
mod ollama;
mod reply;
mod request;
mod responses;

use serde::{Deserialize, Serialize};

pub use reply::{canonical, turn};
pub use request::conversation;

/// What was asked: everything that the agent sent, as turns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The model, as named by the agent.
    pub model: String,
    /// The turns in order, instructions first.
    pub turns: Vec<Turn>,
    /// Names of the tools that the model may call.
    pub tools: Vec<String>,
    /// Whether the reply is to be streamed.
    pub streams: bool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What it says; other content than text is named in brackets.
    pub text: String,
    /// What the model thought before, where that was sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// The tools that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments as the model wrote them.
    pub arguments: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The model, as named by the server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The turn; its role is `assistant`.
    pub turn: Turn,
    /// Why it ended, in the server's word; empty if it did not say so.
    pub stop: String,
    /// Tokens of the request, where the server counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the reply, where the server counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What went wrong, in the server's words, also within a reply of status 200.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
