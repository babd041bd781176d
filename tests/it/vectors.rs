//! The certificate vectors in `certs/`: every case is verified by the program and must come out as written beside it.
//!
//! `RUNPROOF_WRITE_CERTS=1 cargo test --test it vectors` records the demo run anew and writes all of them again;
//! `=cases` writes only the cases, from the certificates that are there. All keys are made of fixed seeds, so what is
//! written depends on the recorded run alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runproof::canon::Sha256;
use runproof::certificate::{Envelope, PAYLOAD_TYPE, SecretKey, pae, sshsig};
use serde_json::{Value, json};

use crate::certificate::base64;
use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

mod campaign;

fn certs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs")
}

/// Keys made of their names.
fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(Sha256::of(format!("runproof test key {name}").as_bytes()).as_bytes())
}

struct Case {
    name: String,
    what: String,
    certificate: Vec<u8>,
    policy: Option<Value>,
    evidence: bool,
    /// The folder of `certs/` whose evidence it is held against.
    of: &'static str,
    /// What is done to a copy of that evidence before.
    changes: Vec<Value>,
    args: Vec<&'static str>,
    exit: i32,
    reason: &'static str,
}

struct Maker {
    /// Payload of the demo run's certificate.
    payload: Vec<u8>,
    /// Payload of the campaign's certificate.
    campaign: Vec<u8>,
    /// Payload of the certificate of the same campaign under a profile that it does not reach.
    failed: Vec<u8>,
    cases: Vec<Case>,
}

fn policy() -> Value {
    let row = |name: &str, status: &str| {
        let key = key(name).public();
        json!({"keyid": key.keyid(), "pem": key.to_pem(), "name": name, "status": status, "reason": ""})
    };
    let id = |name: &str| key(name).public().keyid();
    json!({
        "schema": 1, "version": 7, "expires": "2099-12-31",
        "keys": [row("ci", "active"), row("second", "active"), row("old", "retired"), row("stolen", "revoked")],
        "rules": [{
            "predicateType": "urn:runproof:run-certificate:v1",
            "keys": [id("ci"), id("second"), id("old"), id("stolen")],
            "threshold": 1, "requireLevel": "signature", "requireRungs": [641],
            "instances": ["*"], "models": ["*"],
        }, {
            "predicateType": "urn:runproof:campaign-certificate:v1",
            "keys": [id("ci"), id("second"), id("old"), id("stolen")],
            "threshold": 1, "requireLevel": "signature", "requireRungs": [641],
            "instances": ["*"], "models": ["*"], "profiles": ["*"],
        }],
        "revokedCertificates": [], "pinnedCertificates": [],
    })
}

fn envelope(payload_type: &str, payload: &str, signatures: Value) -> Vec<u8> {
    json!({"payload": payload, "payloadType": payload_type, "signatures": signatures}).to_string().into_bytes()
}

fn entry(name: &str, message: &[u8]) -> Value {
    json!({"keyid": key(name).public().keyid(), "sig": base64(&key(name).sign(message))})
}

fn signed(payload: &[u8], names: &[&str]) -> Vec<u8> {
    let message = pae(PAYLOAD_TYPE, payload);
    let entries: Vec<Value> = names.iter().map(|name| entry(name, &message)).collect();
    envelope(PAYLOAD_TYPE, &base64(payload), entries.into())
}

/// The envelope of a payload in base64, signed by another key.
fn signed_again(payload: &str, name: &str) -> String {
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    String::from_utf8(signed(&payload, &[name])).unwrap()
}

/// Puts a key made of its name into a place, for `certify`.
fn secret(env: &TestEnv, name: &str) {
    let path = env.work().join(name);
    fs::write(&path, key(name).to_pem()).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Maker {
    fn add(&mut self, name: &str, what: &str, certificate: Vec<u8>, exit: i32, reason: &'static str) -> &mut Case {
        self.cases.push(Case {
            name: name.into(),
            what: what.into(),
            certificate,
            policy: None,
            evidence: false,
            of: "demo",
            changes: Vec::new(),
            args: Vec::new(),
            exit,
            reason,
        });
        self.cases.last_mut().unwrap()
    }

    fn good(&self) -> Vec<u8> {
        signed(&self.payload, &["ci"])
    }

    fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).unwrap()
    }

    /// A validly signed statement with one thing changed.
    fn changed(&mut self, name: &str, what: &str, change: impl FnOnce(&mut Value), exit: i32, reason: &'static str) {
        let mut value: Value = serde_json::from_slice(&self.payload).unwrap();
        change(&mut value);
        let payload = serde_json_canonicalizer::to_vec(&value).unwrap();
        let case = self.add(name, what, signed(&payload, &["ci"]), exit, reason);
        // What the statement itself does not betray is found in the evidence.
        case.evidence = true;
        case.args = vec!["--require", "evidence"];
    }

    /// Validly signed bytes made by replacing text.
    fn replaced(&mut self, name: &str, what: &str, from: &str, to: &str, exit: i32, reason: &'static str) {
        let text = self.text();
        assert!(text.contains(from), "{name}: {from}");
        let payload = text.replacen(from, to, 1);
        self.add(name, what, signed(payload.as_bytes(), &["ci"]), exit, reason);
    }

    fn under(&mut self, name: &str, what: &str, change: impl FnOnce(&mut Value), exit: i32, reason: &'static str) {
        let mut policy = policy();
        change(&mut policy);
        let good = self.good();
        self.add(name, what, good, exit, reason).policy = Some(policy);
    }
}

fn envelopes(maker: &mut Maker) {
    let (payload, text) = (maker.payload.clone(), maker.text());
    let message = pae(PAYLOAD_TYPE, &payload);
    let (body, sig) = (base64(&payload), entry("ci", &message));
    let raw = key("ci").sign(&message);
    let good = String::from_utf8(maker.good()).unwrap();
    let with_sig = |sig: &str| envelope(PAYLOAD_TYPE, &body, json!([{"keyid": "", "sig": sig}]));
    let with_body = |body: &str| envelope(PAYLOAD_TYPE, body, json!([sig]));
    let edited = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();

    maker.add("E00_untouched", "nothing is wrong", maker.good(), 0, "").evidence = true;
    let c = envelope("application/json", &body, json!([sig]));
    maker.add("E01_type_changed", "the payload type was changed, the signature kept", c, 1, "untrusted");
    let c = envelope("text/plain", &body, json!([entry("ci", &pae("text/plain", &payload))]));
    maker.add("E02_type_foreign", "validly signed under a foreign payload type", c, 1, "payload-type");
    let c = envelope(PAYLOAD_TYPE, &body, json!([entry("ci", &payload)]));
    maker.add("E03_no_pae", "the signature is over the bare payload", c, 1, "untrusted");
    let odd = "application/vnd.in-töto+json";
    let counted = format!("DSSEv1 {} {odd} {} {text}", odd.chars().count(), payload.len());
    let c = envelope(odd, &body, json!([entry("ci", counted.as_bytes())]));
    maker.add("E04_length_in_characters", "the length of the type counts characters", c, 1, "untrusted");
    let c = with_body(&base64(text.replacen("resolved", "resolvee", 1).as_bytes()));
    maker.add("E05_payload_edited", "one byte of the payload differs", c, 1, "untrusted");
    let url = |text: &str| text.replace('+', "-").replace('/', "_");
    let c = envelope(PAYLOAD_TYPE, &url(&body), json!([{"keyid": "", "sig": url(&base64(&raw))}]));
    maker.add("E06_url_safe", "the url-safe alphabet, which DSSE allows", c, 0, "");
    // A signature that holds both marks of the alphabet is found among those that no one made.
    maker.add("E07_mixed_alphabets", "both alphabets in one text", with_sig("+-==").to_vec(), 3, "envelope");
    maker.add("E08_no_padding", "no padding", with_sig(base64(&raw).trim_end_matches('=')), 3, "envelope");
    maker.add("E08_extra_padding", "too much padding", with_sig(&(base64(&raw) + "====")), 3, "envelope");
    maker.add(
        "E08_inner_padding",
        "padding within",
        with_sig(&base64(&raw).replacen(&base64(&raw)[2..3], "=", 1)),
        3,
        "envelope",
    );
    maker.add(
        "E09_line_breaks",
        "a line break in base64",
        with_body(&format!("{}\n{}", &body[..76], &body[76..])),
        3,
        "envelope",
    );
    maker.add("E09_blank", "a blank in base64", with_sig(&format!(" {}", base64(&raw))), 3, "envelope");
    let loose = {
        let text = base64(&raw);
        let last = text.as_bytes()[85] as char;
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let at = alphabet.find(last).unwrap();
        format!("{}{}==", &text[..85], alphabet.as_bytes()[at ^ 1] as char)
    };
    maker.add("E10_spare_bits", "spare bits of the last letter are set", with_sig(&loose), 3, "envelope");
    maker.add("E11_payload_twice", "a second payload", edited("{", "{\"payload\":\"e30=\","), 3, "envelope");
    maker.add(
        "E12_payload_twice_escaped",
        "a second payload, spelled with an escape",
        edited("{", "{\"p\\u0061yload\":\"e30=\","),
        3,
        "envelope",
    );
    maker.add("E13_unknown_member", "a member that means nothing", edited("{", "{\"foo\":1,"), 0, "");
    maker.add("E14_unsigned", "no signature", envelope(PAYLOAD_TYPE, &body, json!([])), 1, "unsigned");
    for (name, value) in [("null", Value::Null), ("object", json!({})), ("string", json!("x"))] {
        let c = envelope(PAYLOAD_TYPE, &body, value);
        maker.add(&format!("E15_signatures_{name}"), "signatures are no list", c, 3, "envelope");
    }
    let c = json!({"payload": body, "payloadType": PAYLOAD_TYPE}).to_string().into_bytes();
    maker.add("E15_signatures_missing", "no list of signatures", c, 3, "envelope");
    for length in [0, 63, 65, 1 << 16] {
        let bytes: Vec<u8> = raw.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
        maker.add(
            &format!("E16_signature_of_{length}"),
            "a signature of another length",
            with_sig(&base64(&bytes)),
            1,
            "untrusted",
        );
    }
    let c = envelope(PAYLOAD_TYPE, &body, vec![sig.clone(); 33].into());
    maker.add("E17_many_signatures", "more than 32 signatures", c, 3, "envelope");
    let c = json!([body, PAYLOAD_TYPE, [[base64(&raw)]]]).to_string().into_bytes();
    maker.add("E18_array", "a list in place of the envelope", c, 3, "envelope");
    maker.add(
        "E18_array_entry",
        "a list in place of a signature",
        envelope(PAYLOAD_TYPE, &body, json!([["", base64(&raw)]])),
        3,
        "envelope",
    );
    maker.add("E19_trailing", "a second document", format!("{good}{{}}").into_bytes(), 3, "envelope");
    maker.add("E19_mark", "a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat(), 3, "envelope");
    maker.add("E19_nul", "a leading NUL", [b"\0", good.as_bytes()].concat(), 3, "envelope");
    maker.add(
        "E20_invalid_utf8",
        "bytes that are not UTF-8",
        [b"{\"x\":\"\xff\",", &good.as_bytes()[1..]].concat(),
        3,
        "envelope",
    );
    maker.add("E20_lone_surrogate", "half a surrogate pair", edited("{", "{\"x\":\"\\ud800\","), 3, "envelope");
    maker.add("E21_depth", "100,000 opening brackets", "[".repeat(100_000).into_bytes(), 3, "envelope");
}

fn signatures(maker: &mut Maker) {
    let payload = maker.payload.clone();
    let message = pae(PAYLOAD_TYPE, &payload);
    let body = base64(&payload);
    let sig = |name: &str| base64(&key(name).sign(&message));
    let trusted = key("ci").public().keyid();
    let with = |signatures: Value| envelope(PAYLOAD_TYPE, &body, signatures);
    maker.add(
        "S01_untrusted",
        "signed by a key that the policy does not know",
        signed(&payload, &["stranger"]),
        1,
        "untrusted",
    );
    let shipped = json!([{"keyid": "", "sig": sig("stranger"), "publicKey": key("stranger").public().to_pem()}]);
    maker.add("S02_key_shipped", "the key comes with the certificate", with(shipped), 1, "untrusted");
    maker.add(
        "S03_hint_wrong",
        "a good signature under a wrong hint",
        with(json!([{"keyid": "00", "sig": sig("ci")}])),
        0,
        "",
    );
    maker.add(
        "S04_hint_borrowed",
        "a stranger's signature under a trusted hint",
        with(json!([{"keyid": trusted, "sig": sig("stranger")}])),
        1,
        "untrusted",
    );
    maker.add("S05_hint_missing", "no hint", with(json!([{"sig": sig("ci")}])), 0, "");
    maker.add("S05_hint_null", "a hint that is null", with(json!([{"keyid": null, "sig": sig("ci")}])), 3, "envelope");
    maker.add(
        "S05_hint_long",
        "a hint of more than a kilobyte",
        with(json!([{"keyid": "a".repeat(1025), "sig": sig("ci")}])),
        3,
        "envelope",
    );
    let (good, bad) = (json!({"keyid": trusted, "sig": sig("ci")}), json!({"keyid": "x", "sig": sig("stranger")}));
    maker.add("S06_good_then_bad", "a garbage entry after the good one", with(json!([good, bad])), 0, "");
    maker.add("S06_bad_then_good", "a garbage entry before the good one", with(json!([bad, good])), 0, "");
    let twice = with(json!([{"keyid": "a", "sig": sig("ci")}, {"keyid": "b", "sig": sig("ci")}]));
    let mut two = policy();
    two["rules"][0]["threshold"] = json!(2);
    maker.add("S07_one_key_twice", "a threshold of two met by one key twice", twice, 1, "threshold").policy =
        Some(two.clone());
    maker
        .add("S07_two_keys", "a threshold of two met by two keys", signed(&payload, &["ci", "second"]), 0, "")
        .policy = Some(two);
    // The group order, little endian.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap()).collect();
    let mut moved = key("ci").sign(&message);
    let mut carry = 0_u16;
    for (byte, add) in moved[32..].iter_mut().zip(&order) {
        carry += u16::from(*byte) + u16::from(*add);
        *byte = (carry & 255) as u8;
        carry >>= 8;
    }
    maker.add(
        "S10_malleable",
        "the group order added to S",
        with(json!([{"keyid": "", "sig": base64(&moved)}])),
        1,
        "untrusted",
    );
    let mut high = key("ci").sign(&message);
    high[63] |= 0xe0;
    maker.add(
        "S11_high_bits",
        "the high bits of S set",
        with(json!([{"keyid": "", "sig": base64(&high)}])),
        1,
        "untrusted",
    );
    let armour = sshsig(&key("ci"), &message);
    let text: String = armour.lines().filter(|line| !line.starts_with("---")).collect();
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let cut = base64(&bytes[bytes.len() - 64..]);
    maker.add(
        "S17_sshsig_pasted",
        "a signature for another preamble",
        with(json!([{"keyid": "", "sig": cut}])),
        1,
        "untrusted",
    );
    let seed = Sha256::of(b"runproof test key ci");
    let signing = ed25519_dalek::SigningKey::from_bytes(seed.as_bytes());
    let hashed = <sha2::Sha512 as sha2::Digest>::new_with_prefix(&message);
    let prehashed = signing.sign_prehashed(hashed, None).unwrap().to_bytes();
    maker.add(
        "S16_prehash",
        "a signature of the prehash variant, Ed25519ph",
        with(json!([{"keyid": "", "sig": base64(&prehashed)}])),
        1,
        "untrusted",
    );
}

fn statements(maker: &mut Maker) {
    let text = maker.text();
    let original: Value = serde_json::from_str(&text).unwrap();
    let edited = text.replacen("\"PASSED\"", "\"FAILED\"", 1);
    let message = pae(PAYLOAD_TYPE, text.as_bytes());
    let c = envelope(PAYLOAD_TYPE, &base64(edited.as_bytes()), json!([entry("ci", &message)]));
    maker.add("P02_rung_edited", "a rung edited, the signature kept", c, 1, "untrusted");
    maker.changed(
        "P01_other_manifest",
        "the manifest of another run",
        |v| v["subject"][0]["digest"]["sha256"] = json!("0".repeat(64)),
        1,
        "manifest",
    );
    maker.changed(
        "P03_rung_without_evidence",
        "a rung that names no evidence",
        |v| v["predicate"]["rungs"][0]["evidence"] = json!([]),
        3,
        "statement",
    );
    maker.changed(
        "P04_rung_contradicted",
        "a rung whose evidence says the opposite",
        |v| v["predicate"]["rungs"][0]["result"] = json!("FAILED"),
        1,
        "rung-required",
    );
    let lower = original["predicate"]["rungs"][0].clone();
    let rung = |number: u32, result: &str| json!({"rung": number, "result": result, "evidence": [{"name": format!("rung-{number}.json"), "digest": lower["evidence"][0]["digest"]}]});
    maker.changed(
        "P05_rung_skipped",
        "a rung above one that is absent",
        |v| v["predicate"]["rungs"] = json!([rung(65537, "PASSED")]),
        1,
        "ladder",
    );
    maker.changed(
        "P05_rung_above_failed",
        "a rung above one that failed",
        |v| v["predicate"]["rungs"] = json!([rung(641, "FAILED"), rung(274_177, "PASSED")]),
        1,
        "ladder",
    );
    maker.changed(
        "P05_rung_twice",
        "a rung given twice",
        |v| v["predicate"]["rungs"] = json!([rung(641, "PASSED"), rung(641, "PASSED")]),
        1,
        "ladder",
    );
    maker.changed(
        "P05_rung_overclaimed",
        "a higher rung that nothing shows",
        |v| v["predicate"]["rungs"] = json!([lower, rung(274_177, "PASSED")]),
        1,
        "rung",
    );
    maker.changed("P06_no_subject", "no subject", |v| v["subject"] = json!([]), 3, "statement");
    maker.changed(
        "P06_subject_without_digest",
        "a subject without digest",
        |v| v["subject"][0]["digest"] = json!({}),
        3,
        "statement",
    );
    maker.changed(
        "P06_subject_twice",
        "a subject given twice",
        |v| v["subject"][1] = v["subject"][0].clone(),
        3,
        "statement",
    );
    for name in ["md5", "sha1", "foo"] {
        maker.changed(
            &format!("P07_only_{name}"),
            "no digest that counts",
            |v| v["subject"][0]["digest"] = json!({name: "00"}),
            1,
            "digest-algorithm",
        );
    }
    maker.changed(
        "P08_one_digest_wrong",
        "sha256 right, blake3 wrong",
        |v| v["subject"][0]["digest"]["blake3"] = json!("0".repeat(64)),
        1,
        "manifest",
    );
    let digest = original["subject"][0]["digest"]["sha256"].as_str().unwrap().to_owned();
    for (name, wrong) in [
        ("upper", digest.to_uppercase()),
        ("short", digest[1..].into()),
        ("long", format!("{digest}0")),
        ("prefix", format!("0x{}", &digest[2..])),
        ("blank", format!(" {}", &digest[1..])),
    ] {
        maker.changed(
            &format!("P09_digest_{name}"),
            "a digest in another form",
            |v| v["subject"][0]["digest"]["sha256"] = json!(wrong),
            3,
            "statement",
        );
    }
    maker.changed(
        "P10_old_statement",
        "an older in-toto statement",
        |v| v["_type"] = json!("https://in-toto.io/Statement/v0.1"),
        1,
        "predicate-type",
    );
    maker.changed(
        "P10_other_predicate",
        "another tool's predicate",
        |v| v["predicateType"] = json!("https://slsa.dev/verification_summary/v1"),
        1,
        "predicate-type",
    );
    maker.changed(
        "P11_later_version",
        "a later version of our predicate",
        |v| v["predicateType"] = json!("urn:runproof:run-certificate:v2"),
        1,
        "predicate-version",
    );
    maker.changed(
        "P12_unknown_member",
        "a member that the schema does not have",
        |v| v["predicate"]["waived"] = json!(true),
        3,
        "statement",
    );
    maker.changed(
        "P12_extension",
        "a member of extensions, ignored and listed",
        |v| v["predicate"]["extensions"]["note"] = json!("x"),
        0,
        "",
    );
    maker.replaced(
        "P13_member_twice",
        "a member given twice",
        "\"attempts\":",
        "\"attempts\":1,\"attempts\":",
        3,
        "statement",
    );
    maker.replaced("P14_blank", "not canonical: a blank", "{", "{ ", 3, "statement");
    let pretty = serde_json::to_string_pretty(&original).unwrap();
    maker.add("P14_pretty", "not canonical: pretty-printed", signed(pretty.as_bytes(), &["ci"]), 3, "statement");
    maker.add(
        "P14_line_feed",
        "not canonical: a line feed at the end",
        signed(format!("{text}\n").as_bytes(), &["ci"]),
        3,
        "statement",
    );
    let calls = format!("\"calls\":{}", original["predicate"]["transcript"]["calls"]);
    for (name, number) in [
        ("float", "2.0"),
        ("exponent", "2e0"),
        ("minus_zero", "-0"),
        ("large", "9007199254740993"),
        ("huge", &format!("1{}", "0".repeat(400))),
        ("nan", "NaN"),
        ("text", "\"2\""),
        ("negative", "-2"),
    ] {
        maker.replaced(
            &format!("P15_number_{name}"),
            "a number in another form",
            &calls,
            &format!("\"calls\":{number}"),
            3,
            "statement",
        );
    }
    for (name, text) in [
        ("override", "tot\u{202e}al"),
        ("zero_width", "total\u{200b}"),
        ("letter_mark", "tot\u{61c}al"),
        ("soft_hyphen", "tot\u{ad}al"),
        ("tag", "total\u{e0041}"),
        ("escape", "total\u{1b}]0;x\u{7}"),
        ("nul", "total\0"),
    ] {
        maker.changed(
            &format!("P16_name_{name}"),
            "a name that hides something",
            |v| v["predicate"]["instance"]["id"] = json!(text),
            3,
            "statement",
        );
    }
    maker.changed(
        "R05_escape_in_test",
        "a test's name that drives a terminal",
        |v| v["predicate"]["tests"]["after"]["passed"][0] = json!("\u{1b}]0;x\r"),
        3,
        "statement",
    );
    maker.changed(
        "P18_test_twice",
        "a test given twice",
        |v| {
            let name = v["predicate"]["tests"]["after"]["passed"][0].clone();
            v["predicate"]["tests"]["after"]["passed"].as_array_mut().unwrap().insert(0, name);
        },
        3,
        "statement",
    );
    maker.changed(
        "P18_test_both",
        "a test that passed and failed",
        |v| v["predicate"]["tests"]["after"]["failed"] = v["predicate"]["tests"]["after"]["passed"].clone(),
        3,
        "statement",
    );
    maker.changed(
        "P18_unsorted",
        "tests out of order",
        |v| v["predicate"]["tests"]["after"]["passed"] = json!(["b", "a"]),
        3,
        "statement",
    );
    maker.changed(
        "P19_calls",
        "another number of calls than the manifest has",
        |v| v["predicate"]["transcript"]["calls"] = json!(9),
        1,
        "root",
    );
    maker.changed(
        "M04_events",
        "another number of events than the manifest has",
        |v| v["predicate"]["transcript"]["events"] = json!(99),
        1,
        "root",
    );
    maker.changed(
        "M03_root",
        "another root than the manifest has",
        |v| v["predicate"]["transcript"]["rawRoot"] = json!("1".repeat(64)),
        1,
        "root",
    );
    maker.changed(
        "P20_no_call",
        "no model was called",
        |v| v["predicate"]["transcript"]["calls"] = json!(0),
        1,
        "empty",
    );
    maker.changed(
        "P20_no_test",
        "no test ran",
        |v| {
            let none = json!({"passed": [], "failed": []});
            v["predicate"]["tests"] = json!({"before": none, "after": none});
        },
        1,
        "empty",
    );
    maker.changed(
        "P21_outcome",
        "another outcome than the events lead to",
        |v| v["predicate"]["outcome"]["result"] = json!("unresolved"),
        1,
        "fact",
    );
    maker.changed(
        "P21_model",
        "another model than answered",
        |v| v["predicate"]["models"][0]["name"] = json!("scripted:better"),
        1,
        "fact",
    );
    maker.changed(
        "P21_patch",
        "another patch than the run ends with",
        |v| v["subject"][1]["digest"] = v["subject"][0]["digest"].clone(),
        1,
        "patch",
    );
    for name in [
        "../rung-641.json",
        "/etc/passwd",
        "C:rung.json",
        "a\\b",
        "",
        ".",
        "rung-641.json\0",
        "rung-641.json ",
        "CON",
        "Rung-641.json",
    ] {
        let label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        maker.changed(
            &format!("V04_name_{label}"),
            "evidence by a name that is not its own",
            |v| v["predicate"]["rungs"][0]["evidence"][0]["name"] = json!(name),
            3,
            "statement",
        );
    }
    maker.changed(
        "V07_case",
        "two names that differ in case only",
        |v| {
            let mut other = v["predicate"]["rungs"][0]["evidence"][0].clone();
            other["name"] = json!("Rung-641.json");
            v["predicate"]["rungs"][0]["evidence"].as_array_mut().unwrap().push(other);
        },
        3,
        "statement",
    );
    for name in ["none", "HS256"] {
        maker.changed(
            &format!("T08_algorithm_{name}"),
            "the certificate asks for an algorithm",
            |v| v["predicate"]["alg"] = json!(name),
            3,
            "statement",
        );
    }
}

fn policies(maker: &mut Maker) {
    let identity = Sha256::of(&maker.payload).to_hex();
    let payload = maker.payload.clone();
    maker.under(
        "S08_key_twice",
        "a key listed twice",
        |p| {
            let mut row = p["keys"][0].clone();
            row["name"] = json!("again");
            p["keys"].as_array_mut().unwrap().push(row);
        },
        3,
        "",
    );
    maker.under("S09_threshold_zero", "a threshold of nothing", |p| p["rules"][0]["threshold"] = json!(0), 3, "");
    maker.under(
        "S09_threshold_above",
        "a threshold above the number of keys",
        |p| p["rules"][0]["threshold"] = json!(5),
        3,
        "",
    );
    let spki = |bytes: [u8; 32]| {
        let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &bytes].concat();
        (Sha256::of(&der).to_hex(), format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der)))
    };
    let mut identity_point = [0; 32];
    identity_point[0] = 1;
    let mut large = [0xff; 32];
    (large[0], large[31]) = (0xee, 0x7f);
    // A point of mixed order, from the table in "Taming the many EdDSAs" (2020).
    let mixed = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    let mixed: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&mixed[2 * i..2 * i + 2], 16).unwrap()).collect();
    for (name, bytes) in [
        ("S12_small_order_key", identity_point),
        ("S13_key_not_canonical", large),
        ("S14_mixed_order_key", mixed.try_into().unwrap()),
    ] {
        let (keyid, pem) = spki(bytes);
        maker.under(
            name,
            "a key on which implementations disagree",
            |p| {
                p["keys"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"keyid": keyid, "pem": pem, "name": "weak", "status": "active"}))
            },
            3,
            "",
        );
    }
    let signed_by = |name: &str| signed(&payload, &[name]);
    maker.add("T01_revoked_key", "signed by a revoked key", signed_by("stolen"), 1, "key-revoked");
    maker.add("T02_retired_key", "signed by a retired key", signed_by("old"), 1, "key-retired");
    let mut pinned = policy();
    pinned["pinnedCertificates"] = json!([identity]);
    maker.add("T02_retired_key_pinned", "signed by a retired key and pinned", signed_by("old"), 0, "").policy =
        Some(pinned);
    maker.under(
        "T03_revoked_certificate",
        "the certificate is revoked",
        |p| p["revokedCertificates"] = json!([identity]),
        1,
        "certificate-revoked",
    );
    maker.under(
        "T04_policy_expired",
        "the policy has expired",
        |p| p["expires"] = json!("2020-01-01"),
        1,
        "policy-expired",
    );
    let good = maker.good();
    maker.add("T04_policy_old", "the policy is older than one seen", good, 1, "policy-version").args =
        vec!["--min-policy-version", "8"];
    maker.under(
        "T05_policy_unknown_member",
        "a member that policies do not have",
        |p| p["allowAll"] = json!(true),
        3,
        "",
    );
    maker.under("T05_policy_empty", "an empty object", |p| *p = json!({}), 3, "");
    maker.under("T05_policy_list", "a list", |p| *p = json!([]), 3, "");
    maker.under(
        "T05_policy_key_list",
        "a list in place of a key",
        |p| p["keys"][0] = json!(["a", "b", "c", "active", ""]),
        3,
        "",
    );
    maker.under("T05_policy_no_rule", "no rule", |p| p["rules"] = json!([]), 3, "");
    maker.under(
        "T06_other_type",
        "the key may certify campaigns only",
        |p| p["rules"][0]["predicateType"] = json!("urn:runproof:campaign-certificate:v1"),
        1,
        "rule",
    );
    maker.under(
        "T06_other_instance",
        "the rule is about other instances",
        |p| p["rules"][0]["instances"] = json!(["django__*"]),
        1,
        "rule",
    );
    maker.under(
        "T06_other_model",
        "the rule is about other models",
        |p| p["rules"][0]["models"] = json!(["ollama:*"]),
        1,
        "rule",
    );
    maker.under(
        "T06_other_key",
        "the rule is about another key",
        |p| p["rules"][0]["keys"] = json!([key("second").public().keyid()]),
        1,
        "rule",
    );
    maker.under(
        "T07_rung_required",
        "a rung that is not certified",
        |p| p["rules"][0]["requireRungs"] = json!([641, 65537]),
        1,
        "rung-required",
    );
    maker.under(
        "T07_level_required",
        "a level that needs evidence, and none is given",
        |p| p["rules"][0]["requireLevel"] = json!("replay"),
        5,
        "level",
    );
}

/// What is done to the evidence of the demo run.
fn evidence(maker: &mut Maker) {
    let blobs = names(&certs().join("demo/evidence/blobs"));
    let blob = |at: usize| format!("blobs/{}", blobs[at]);
    let manifest = fs::read_to_string(certs().join("demo/evidence/manifest.jsonl")).unwrap_or_default();
    let lines: Vec<&str> = manifest.split_inclusive('\n').collect();
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let written = |lines: &[&str]| json!([{"write": ["manifest.jsonl", lines.concat()]}]);
    let cases = [
        ("V01_blobs_swapped", "two blobs are exchanged", json!([{"swap": [blob(1), blob(2)]}]), 1, "blob"),
        ("V02_blob_missing", "a blob is missing", json!([{"remove": blob(0)}]), 5, "level"),
        ("V02_blobs_missing", "there is no blob", json!([{"remove": "blobs"}]), 5, "level"),
        ("V03_blob_more", "a blob that nobody asked for", json!([{"write": ["blobs/more", "x"]}]), 0, ""),
        ("V05_blob_linked", "a blob is a link to the right bytes", json!([{"link": [blob(0)]}]), 1, "evidence"),
        (
            "V05_blobs_linked",
            "the folder of blobs is a link to the right one",
            json!([{"link": ["blobs"]}]),
            5,
            "level",
        ),
        ("V05_manifest_linked", "the manifest is a link", json!([{"link": ["manifest.jsonl"]}]), 1, "evidence"),
        (
            "V09_blob_longer",
            "a blob is longer than recorded",
            json!([{"write": [blob(0), "x".repeat(100_000)]}]),
            1,
            "blob",
        ),
        ("M03_lines_swapped", "two lines of the manifest are exchanged", written(&swapped), 1, "evidence"),
        (
            "M03_line_dropped",
            "the last line of the manifest is missing",
            written(&lines[..lines.len().saturating_sub(1)]),
            1,
            "manifest",
        ),
        (
            "M03_line_added",
            "a line of the manifest is there twice",
            written(&[&lines[..], &lines[lines.len().saturating_sub(1)..]].concat()),
            1,
            "evidence",
        ),
    ];
    for (name, what, changes, exit, reason) in cases {
        let good = maker.good();
        let case = maker.add(name, what, good, exit, reason);
        (case.evidence, case.args, case.changes) =
            (true, vec!["--require", "evidence"], changes.as_array().unwrap().clone());
    }
}

/// The rung of a recorded agent asks for less, so a rule that requires it must say that it takes such ones.
fn recorded_agents(maker: &mut Maker) {
    let mut statement: Value = serde_json::from_slice(&maker.payload).unwrap();
    let predicate = &mut statement["predicate"];
    predicate["instance"]["id"] = json!("recorded-agent");
    predicate["configuration"]["arm"] = json!("recorded");
    predicate["outcome"]["result"] = json!("recorded");
    let certificate = signed(&serde_json_canonicalizer::to_vec(&statement).unwrap(), &["ci"]);
    let what = "a recorded agent's rung where the rule does not take one";
    maker.add("T07_recorded_agent", what, certificate.clone(), 1, "rung-required");
    let what = "a recorded agent's rung where the rule names any profile";
    let case = maker.add("T07_recorded_agent_any", what, certificate.clone(), 1, "rung-required");
    let mut any = policy();
    any["rules"][0]["profiles"] = json!(["*"]);
    case.policy = Some(any);
    let what = "a recorded agent's rung where the rule names its profile";
    let case = maker.add("T07_recorded_agent_named", what, certificate, 0, "");
    let mut named = policy();
    named["rules"][0]["profiles"] = json!(["recorded-agent"]);
    case.policy = Some(named);
}

fn cases() -> Vec<Case> {
    let payload = |name: &str| Envelope::from_bytes(&fs::read(certs().join(name)).unwrap()).unwrap().payload;
    let mut maker = Maker {
        payload: payload("demo/certificate.json"),
        campaign: payload("campaign/certificate.json"),
        failed: payload("campaign/failed.json"),
        cases: Vec::new(),
    };
    envelopes(&mut maker);
    signatures(&mut maker);
    statements(&mut maker);
    policies(&mut maker);
    recorded_agents(&mut maker);
    evidence(&mut maker);
    campaign::cases(&mut maker);
    maker.cases
}

/// Every file below `certs/` that is made from the recorded certificates.
fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let pretty = |value: &Value| (serde_json::to_string_pretty(value).unwrap() + "\n").into_bytes();
    files.insert("policy.json".into(), pretty(&policy()));
    for name in ["ci", "second", "old", "stolen", "stranger"] {
        files.insert(format!("keys/{name}.pub").into(), key(name).public().to_pem().into_bytes());
    }
    for case in cases() {
        let folder = Path::new(if case.exit == 0 { "good" } else { "bad" }).join(&case.name);
        let mut args = vec!["certificate.json".to_owned(), "--policy".into()];
        args.push(if case.policy.is_some() { "policy.json".into() } else { "../../policy.json".into() });
        let original = format!("../../{}/evidence", case.of);
        if case.evidence {
            args.extend([
                "--evidence".into(),
                if case.changes.is_empty() { original.clone() } else { "evidence".into() },
            ]);
        }
        args.extend(case.args.iter().map(|arg| (*arg).to_owned()));
        args.extend(["--at".into(), "2026-11-25".into()]);
        let row = case.name.split('_').next();
        let mut expected =
            json!({"row": row, "what": case.what, "args": args, "exit": case.exit, "reason": case.reason});
        if !case.changes.is_empty() {
            expected["evidence"] = json!({"of": original, "changes": case.changes});
        }
        files.insert(folder.join("expected.json"), pretty(&expected));
        files.insert(folder.join("certificate.json"), case.certificate);
        if let Some(policy) = case.policy {
            files.insert(folder.join("policy.json"), pretty(&policy));
        }
    }
    files
}

/// Records the demo run and a campaign, and writes everything again.
fn write() {
    let env = place(&[WRONG, RIGHT]);
    env.run(&["solve", "task", "--model", "scripted:script.jsonl", "--name", "demo", "--quiet"]).sound();
    secret(&env, "ci");
    env.run(&["certify", "--key", "ci", "-o", "certificate.json", "--evidence", "evidence"]).sound();
    let several = campaign::record();
    for folder in ["good", "bad", "keys", "demo", "campaign"] {
        let _ = fs::remove_dir_all(certs().join(folder));
    }
    for (env, folder) in [(&env, "demo"), (&several, "campaign")] {
        copy(&env.work().join("evidence"), &certs().join(folder).join("evidence"));
        for name in ["certificate.json", "certificate.intoto.jsonl"] {
            fs::copy(env.work().join(name), certs().join(folder).join(name)).unwrap();
        }
    }
    for name in ["failed.json", "two.json"] {
        fs::copy(several.work().join(name), certs().join("campaign").join(name)).unwrap();
    }
    fs::write(certs().join("campaign/failed.profile.json"), campaign::failed_profile(&several)).unwrap();
    write_cases();
}

/// Writes what is made from the recorded certificates, as they are.
fn write_cases() {
    for (name, bytes) in files() {
        let path = certs().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Copies the evidence that a case names into the case's folder and does to it what the case says.
fn change(case: &Path, evidence: &Value) {
    let own = case.join("evidence");
    copy(&case.join(evidence["of"].as_str().unwrap()), &own);
    for change in evidence["changes"].as_array().unwrap() {
        let (kind, what) = change.as_object().unwrap().iter().next().unwrap();
        let texts: Vec<&str> = what.as_array().map_or_else(
            || vec![what.as_str().unwrap()],
            |list| list.iter().map(|text| text.as_str().unwrap()).collect(),
        );
        match (kind.as_str(), texts.as_slice()) {
            ("remove", [path]) if own.join(path).is_dir() => fs::remove_dir_all(own.join(path)).unwrap(),
            ("remove", [path]) => fs::remove_file(own.join(path)).unwrap(),
            ("write", [path, text]) => fs::write(own.join(path), text).unwrap(),
            ("put", [from, path]) => fs::copy(case.join(from), own.join(path)).map(|_| ()).unwrap(),
            ("swap", [one, other]) => {
                fs::rename(own.join(one), case.join("aside")).unwrap();
                fs::rename(own.join(other), own.join(one)).unwrap();
                fs::rename(case.join("aside"), own.join(other)).unwrap();
            }
            ("link", [path]) => {
                fs::rename(own.join(path), case.join("aside")).unwrap();
                std::os::unix::fs::symlink(case.join("aside"), own.join(path)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// Verifies every case whose row is chosen, with everything beside it in a scratch copy of `certs/`.
fn drive(chosen: fn(&str) -> bool) -> usize {
    let env = TestEnv::new();
    let (mut wrong, mut number) = (Vec::new(), 0);
    let scratch = env.work().join("certs");
    for shared in ["demo", "campaign"] {
        copy(&certs().join(shared), &scratch.join(shared));
    }
    fs::copy(certs().join("policy.json"), scratch.join("policy.json")).unwrap();
    for folder in ["good", "bad"] {
        for name in names(&certs().join(folder)).into_iter().filter(|name| chosen(name)) {
            let case = scratch.join(folder).join(&name);
            copy(&certs().join(folder).join(&name), &case);
            let expected: Value = serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
            if let Some(evidence) = expected.get("evidence") {
                change(&case, evidence);
            }
            let args: Vec<&str> =
                expected["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
            let mut command = env.command(&[&["verify"], &args[..], &["--json"]].concat());
            let output = env.finish(command.current_dir(&case));
            let report: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
            let reason = report["reason"].as_str().unwrap_or_default();
            if json!([output.code, reason]) != json!([expected["exit"], expected["reason"]]) {
                wrong.push(format!(
                    "{name}: {} {reason:?}; expected {} {}; {}{}",
                    output.code, expected["exit"], expected["reason"], report["message"], output.stderr
                ));
            }
            let as_expected = json!(output.code) == expected["exit"] && json!(reason) == expected["reason"];
            tell(&json!({"row": expected["row"], "name": name, "expected": expected["exit"], "exit": output.code,
                "reason": reason, "as_expected": as_expected}));
            // R03: every check has one of four words, and nothing refused is at a level.
            for check in report["checks"].as_array().into_iter().flatten() {
                assert!(["passed", "failed", "skipped", "unavailable"].contains(&check["status"].as_str().unwrap()));
            }
            assert!(output.code == 0 || output.code == 5 || report.is_null() || report["level"] == "none", "{report}");
            assert!(!output.stdout.contains(['\u{1b}', '\r']) && !output.stderr.contains(['\u{1b}', '\r']));
            number += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    number
}

/// Appends what came of a case to the file that `examples/attacks.rs` makes its table of.
fn tell(result: &Value) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("RUNPROOF_VECTOR_RESULTS") else { return };
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(format!("{result}\n").as_bytes()).unwrap();
}

/// Writes everything again, once, if that is asked for.
fn written() {
    static WRITTEN: std::sync::Once = std::sync::Once::new();
    WRITTEN.call_once(|| match std::env::var("RUNPROOF_WRITE_CERTS").as_deref() {
        Ok("cases") => write_cases(),
        Ok(_) => write(),
        Err(_) => {}
    });
}

#[test]
fn every_case_of_a_run_comes_out_as_written_beside_it_each_in_a_process() {
    written();
    assert!(drive(|name| !name.starts_with('C')) > 130);
}

#[test]
fn every_case_of_a_campaign_comes_out_as_written_beside_it_each_in_a_process() {
    written();
    assert!(drive(|name| name.starts_with('C')) > 40);
}

#[test]
fn the_files_of_certs_are_the_ones_that_the_command_writes() {
    written();
    let files = files();
    for (name, bytes) in &files {
        assert!(fs::read(certs().join(name)).unwrap_or_default() == *bytes, "{}", name.display());
    }
    for folder in ["good", "bad"] {
        for case in names(&certs().join(folder)) {
            assert!(files.contains_key(&Path::new(folder).join(&case).join("expected.json")), "{case} is forgotten");
        }
    }
}

/// Every row of the attack table is a case, or a test that is there, or says why it is neither.
#[test]
fn every_row_of_the_attack_table_is_answered_for() {
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(certs().join("attacks.json")).unwrap()).unwrap();
    assert_eq!(rows.len(), 116);
    let cases = [names(&certs().join("good")), names(&certs().join("bad"))].concat();
    let mut sources = String::new();
    let mut folders = vec![certs().join("../src"), certs().join("../tests/it")];
    while let Some(folder) = folders.pop() {
        for name in names(&folder) {
            let path = folder.join(name);
            if path.is_dir() { folders.push(path) } else { sources += &fs::read_to_string(path).unwrap_or_default() }
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        let tests: Vec<&str> = row["tests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for test in &tests {
            let name = test.rsplit("::").next().unwrap();
            assert!(sources.contains(&format!("fn {name}()")), "{id} names {test}, which is no test");
        }
        let is_case = cases.iter().any(|case| case.starts_with(&format!("{id}_")));
        let reason = row["reason"].as_str().unwrap_or_default();
        assert!(is_case || !tests.is_empty() || !reason.is_empty(), "{id} is forgotten");
        assert!(reason.is_empty() || (!is_case && tests.is_empty()), "{id} is there, and is said not to be");
    }
}

/// Breaks when the rules of a replay change: then the version was changed on purpose, and the vectors are written anew.
#[test]
fn the_certificate_of_this_repository_still_replays() {
    written();
    let env = TestEnv::new();
    let mut command =
        env.command(&["verify", "certificate.json", "--policy", "../policy.json", "--evidence", "evidence"]);
    let output = env.finish(command.current_dir(certs().join("demo")));
    let remake = "if the orchestration digest changed on purpose: RUNPROOF_WRITE_CERTS=1 cargo test --test it vectors";
    assert_eq!(output.code, 0, "{}{}\n{remake}", output.stdout, output.stderr);
}

/// E24 and E25 on the envelope itself, in process.
#[test]
fn e24_e25_no_cut_and_no_flipped_bit_is_accepted_unless_nothing_signed_depends_on_it() {
    use runproof::certificate::{Date, Decision, Policy, Trust, Verification};
    written();
    let good = fs::read(certs().join("demo/certificate.json")).unwrap();
    let policy = Policy::from_bytes(&fs::read(certs().join("policy.json")).unwrap()).unwrap();
    let (trust, day) = (Trust::Policy(Box::new(policy)), "2026-11-25".parse::<Date>().unwrap());
    let decide = |bytes: &[u8]| Verification::begin(bytes, &trust, &day, 0).finish(None);
    let identity = decide(&good).payload;
    assert_eq!(decide(&good).decision, Decision::Accepted);
    for end in 0..good.len() - 1 {
        assert_ne!(decide(&good[..end]).decision, Decision::Accepted, "{end}");
    }
    // Flips in the payload are all alike: every 7th byte of it, and every byte of the rest.
    let rest = good.windows(8).position(|bytes| bytes == b"payloadT").unwrap();
    let mut accepted = 0;
    for at in (0..rest).step_by(7).chain(rest..good.len()) {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let report = decide(&bytes);
            if report.decision == Decision::Accepted {
                assert_eq!(report.payload, identity, "byte {at}, bit {bit}");
                accepted += 1;
            }
        }
    }
    assert!(accepted > 0, "a flipped hint is accepted");
}
