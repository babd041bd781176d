//! Bytes of any kind as requests and replies of a recorded agent: nothing panics, and what is no matter of content
//! (line ends, comments, how a stream ends) changes no canonical form.

use proptest::prelude::*;
use runproof::proxy::{Exchange, Head, Key, Normalise, Secrets, decoded, view};
use serde_json::{Value, json};

const TARGETS: [&str; 7] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/api/chat",
    "/api/generate",
    "/v1/embeddings",
];
const KINDS: [&str; 4] = ["text/event-stream", "application/x-ndjson", "application/json", "text/plain"];
const ENCODINGS: [&str; 7] = ["", "gzip", "deflate", "br", "zstd", "gzip, br", "x"];

fn head(target: &str, kind: &str, encoding: &str) -> Head {
    let mut head = Head { method: "POST".into(), status: 200, ..Head::default() };
    head.set_target(target, None);
    head.keep_reply("content-type", kind.as_bytes());
    if !encoding.is_empty() {
        head.keep_reply("content-encoding", encoding.as_bytes());
        head.keep_request("content-encoding", encoding.as_bytes());
    }
    head
}

/// Words of streams and of JSON, right and nearly right.
const WORDS: [&[u8]; 21] = [
    b"data: ",
    b"data:[DONE]",
    b"event: message_stop",
    b"event: error\r",
    b": ping",
    b"\n",
    b"\r\n",
    b"\r",
    b"\n\n",
    b"\xef\xbb\xbf",
    b"\xf0\x9d",
    b"{\"choices\":[{\"delta\":{\"content\":\"x\"},\"index\":0}]}",
    b"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":9999999999999999999,\"id\":7}]}}]}",
    b"{\"type\":\"content_block_delta\",\"index\":-1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}",
    b"{\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\"}}",
    b"{\"message\":{\"content\":\"y\",\"tool_calls\":{}},\"done\":true}",
    b"{\"usage\":{\"prompt_tokens\":1e400}}",
    b"{\"error\":[{\"message\":null}]}",
    b"\"\\ud800\"",
    b"[[[[",
    b"}",
];

/// Bytes that are nearly a stream or nearly JSON: words of both, and anything between them.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::sample::select(&WORDS[..]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_key_a_canonical_form_and_no_panic(
        sent in hostile(), reply in hostile(), target in 0..TARGETS.len(), kind in 0..KINDS.len(), encoding in 0..ENCODINGS.len(),
    ) {
        let head = head(TARGETS[target], KINDS[kind], ENCODINGS[encoding]);
        let exchange = Exchange { head, received: None, sent, reply };
        let canonical = exchange.canonical_reply();
        let value: Value = serde_json::from_slice(&canonical).expect("a canonical form is JSON");
        prop_assert_eq!(&value["status"], 200);
        prop_assert_eq!(&canonical, &exchange.canonical_reply());
        for normalise in [&[][..], &Normalise::ALL] {
            let key = exchange.key(normalise);
            prop_assert!(serde_json::from_slice::<Value>(key.bytes()).is_ok());
            prop_assert_eq!(key.digest(), exchange.key(normalise).digest());
        }
        let _ = (exchange.conversation(), exchange.turn(), exchange.grade(), exchange.asked_decoded());
        let _ = Secrets::new(vec!["correct horse battery".into()]).scan(&exchange.sent);
        let _ = decoded(&exchange.reply, ENCODINGS[encoding]);
        let _ = Head::from_bytes(&exchange.reply);
    }

    #[test]
    fn the_framing_of_a_stream_is_no_content(texts in proptest::collection::vec("\\PC{0,20}", 1..12), comments in any::<u16>()) {
        let chunks: Vec<String> = texts
            .iter()
            .map(|text| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string())
            .collect();
        let plain: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let head = head("/v1/chat/completions", "text/event-stream", "");
        let canonical = |stream: &str| view::canonical(&head, stream.as_bytes());
        let expected = canonical(&format!("{plain}data: [DONE]\n\n"));
        let mut other = String::from(if comments & 1 == 0 { "\u{feff}" } else { ": hello\n\n" });
        for (number, chunk) in chunks.iter().enumerate() {
            if comments >> (number % 16) & 1 == 1 {
                other.push_str(": ping\r\nid: 7\r\nretry: 9\r\n");
            }
            other.push_str(&format!("data:{chunk}\r\n\r\n"));
        }
        // No last line feed, as some servers end.
        other.push_str("data: [DONE]");
        let found = canonical(&other);
        prop_assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
        let turn = view::turn(&head, other.as_bytes()).expect("it can be read");
        prop_assert_eq!(turn.turn.text, texts.concat());
    }

    #[test]
    fn ids_of_tool_calls_are_no_content_and_everything_else_is(first in "[a-z0-9]{4,9}", second in "[a-z0-9]{4,9}", text in "\\PC{1,9}") {
        let body = |id: &str, text: &str| json!({"model": "m", "messages": [
            {"role": "assistant", "tool_calls": [{"id": format!("call_{id}"), "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": format!("call_{id}"), "content": text},
        ]}).to_string();
        let head = head("/v1/chat/completions", "", "");
        let key = |body: String| Key::of(&head, body.as_bytes(), &[]).digest();
        prop_assert_eq!(key(body(&first, &text)), key(body(&second, &text)));
        prop_assert_ne!(key(body(&first, &text)), key(body(&first, &format!("{text}!"))));
    }
}
