//! Reading what a server says no with; the same for every HTTP provider.

use serde_json::Value;

use super::error::shortened;
use super::http::Received;
use super::wire::Plan;
use super::{Fault, Provider, Request};

/// Refuses a request that `provider` cannot be asked.
pub(crate) fn check(provider: Provider, request: &Request) -> Result<(), Fault> {
    let reason = if request.model.provider != provider {
        "it is for another provider"
    } else if request.constraint.is_some() {
        "only the embedded engine can constrain its reply"
    } else if request.sampling.seed == u32::MAX {
        "the seed 4294967295 asks for a random one"
    } else if request.messages.is_empty() {
        "it has no messages"
    } else {
        return Ok(());
    };
    Err(Fault::Request { provider, reason })
}

/// Returns the fault in a reply whose status is not 200.
pub(crate) fn fault(provider: Provider, plan: &Plan, sent: &[u8], context: u32, received: &Received) -> Fault {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let message = error.as_str().or_else(|| error.get("message")?.as_str()).or_else(|| body.get("detail")?.as_str());
    let message = shortened(message.unwrap_or_default());
    let kind = error.get("type").and_then(Value::as_str).unwrap_or_default();
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
    if matches!(received.status, 400 | 413 | 422 | 500)
        && (kind == "exceed_context_size_error" || code == "context_length_exceeded" || is_too_long(&message))
    {
        return Fault::PromptTooLong { context, message };
    }
    if matches!(received.status, 400 | 422) {
        let named = error.get("param").and_then(Value::as_str);
        if let Some(field) = plan.refused(sent, named, &message) {
            return Fault::FieldRefused { provider, field: field.into(), message };
        }
    }
    Fault::Status { provider, status: received.status, message, after: received.after }
}

fn is_too_long(message: &str) -> bool {
    let message = message.to_lowercase();
    ["exceeds the context length", "exceeds the available context", "maximum context length", "prompt is too long"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;
    use std::time::Duration;

    fn read(status: u16, body: &str) -> Fault {
        let mut plan = Plan::default();
        plan.must("model", "m").may("seed", 1).decimal("temperature", "0");
        let received = Received { status, body: body.into(), after: Some(Duration::from_secs(3)) };
        fault(Provider::OpenAi, &plan, &plan.body(&[], &[]), 4096, &received)
    }

    #[test]
    fn the_ways_of_servers_to_say_that_the_prompt_is_too_long() {
        for body in [
            r#"{"error":"the input length exceeds the context length"}"#,
            r#"{"error":{"code":400,"message":"no","type":"exceed_context_size_error","n_prompt_tokens":9}}"#,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
        ] {
            assert!(matches!(read(400, body), Fault::PromptTooLong { context: 4096, .. }), "{body}");
        }
    }

    #[test]
    fn a_refused_field_is_named_and_anything_else_is_a_status() {
        let openai =
            r#"{"error":{"message":"Unsupported value","type":"invalid_request_error","param":"temperature"}}"#;
        assert!(matches!(read(400, openai), Fault::FieldRefused { field, .. } if field == "temperature"));
        let words = r#"{"error":{"message":"`seed` is not permitted"}}"#;
        assert!(matches!(read(422, words), Fault::FieldRefused { field, .. } if field == "seed"));
        for (status, body) in [(500, openai), (429, words), (400, "<html>"), (400, r#"{"error":7}"#), (400, "")] {
            assert!(matches!(read(status, body), Fault::Status { after: Some(_), .. }), "{status} {body}");
        }
    }

    #[test]
    fn what_a_server_cannot_honour_is_not_sent() {
        let good = request(Provider::OpenAi);
        assert_eq!(check(Provider::OpenAi, &good), Ok(()));
        assert!(check(Provider::Ollama, &good).is_err());
        let constraint = Some(crate::model::Constraint { files: Vec::new() });
        assert!(check(Provider::OpenAi, &Request { constraint, ..good.clone() }).is_err());
        assert!(check(Provider::OpenAi, &Request { messages: Vec::new(), ..good.clone() }).is_err());
        let sampling = crate::model::Sampling::greedy(u32::MAX);
        assert!(check(Provider::OpenAi, &Request { sampling, ..good }).is_err());
    }
}
