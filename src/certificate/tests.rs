//! Tests of the room as a whole; the vectors in `certs/` are driven by `tests/it/vectors.rs`.

use super::*;

fn date(text: &str) -> Result<Date, String> {
    text.parse()
}

#[test]
fn days_are_counted_and_other_texts_refused() {
    for (seconds, day) in [
        (0, "1970-01-01"),
        (951_782_400, "2000-02-29"),
        (1_709_164_800, "2024-02-29"),
        (1_709_251_199, "2024-02-29"),
        (1_709_251_200, "2024-03-01"),
        (4_102_444_799, "2099-12-31"),
        (253_402_300_799, "9999-12-31"),
    ] {
        assert_eq!(Date::from_unix(seconds).to_string(), day);
        assert_eq!(date(day).unwrap(), Date::from_unix(seconds));
    }
    assert_eq!(Date::from_unix(u64::MAX).to_string(), "9999-12-31", "a broken clock fails closed");
    for text in ["", "2026-1-01", "2026-13-01", "2026-02-30", "2026-04-31", "26-01-01", "2026-01-01T", "+026-01-01"] {
        assert!(date(text).is_err(), "{text}");
    }
}

#[test]
fn e03_e04_what_is_signed_counts_bytes() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("\u{f6}", b""), "DSSEv1 2 \u{f6} 0 ".as_bytes());
}

#[test]
fn an_envelope_reads_back_and_a_key_signs_it_once() {
    let (one, two) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
    let mut envelope = Envelope::sign(b"payload".to_vec(), &one);
    envelope.add_signature(&two);
    let both = envelope.to_bytes();
    envelope.add_signature(&one);
    assert_eq!(envelope.to_bytes(), both);
    let mut other = Envelope::sign(b"payload".to_vec(), &two);
    other.add_signature(&one);
    assert_eq!(other.to_bytes(), both);
    assert_eq!(Envelope::from_bytes(&both).unwrap(), envelope);
    assert!(export::sigstore_bundle(&envelope).is_err());
}

#[test]
fn e24_e25_no_bytes_can_do_harm() {
    let good = Envelope::sign(b"{}".to_vec(), &SecretKey::from_seed(&[1; 32])).to_bytes();
    for end in 0..good.len() {
        let _ = Envelope::from_bytes(&good[..end]);
    }
    for at in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let _ = Envelope::from_bytes(&bytes);
    }
}

/// The specification's own vectors (`testvectors/vectors.json` of secure-systems-lab/dsse): the keys are those of tests
/// 1 and 2 of RFC 8032 §7.1, so the signatures are these and no others.
#[test]
fn dsse_every_vector_of_the_specification_comes_out_as_labelled() {
    const TYPE: &str = PAYLOAD_TYPE;
    const BODY: &str = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ==";
    const A: &str = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA==";
    const B: &str = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw==";
    const URL: &str = "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw==";
    const ODD: &str = "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==";
    const NONE: &str = "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==";
    const UNTYPED: &str = "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg==";
    let seed = |text: &str| {
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
        SecretKey::from_seed(bytes.as_slice().try_into().unwrap())
    };
    let keys = [
        seed("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
        seed("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
    ];
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let key = key.public();
            serde_json::json!({"keyid": key.keyid(), "pem": key.to_pem(), "name": "", "status": "active", "reason": ""})
        })
        .collect();
    let both: Vec<String> = keys.iter().map(|key| key.public().keyid()).collect();
    let policy = serde_json::json!({"schema": 1, "version": 1, "expires": "2099-12-31", "keys": rows,
        "rules": [{"predicateType": RUN_CERTIFICATE, "keys": both, "threshold": 1, "requireLevel": "signature"}]});
    let policy = Policy::from_bytes(policy.to_string().as_bytes()).unwrap();
    let (trust, day) = (Trust::Policy(Box::new(policy)), date("2026-11-25").unwrap());
    // Type, payload, signatures; how many different keys made them, and whether the type is one that we take.
    type Vector = (&'static str, &'static str, &'static str, &'static [&'static str], usize, bool);
    let vectors: [Vector; 9] = [
        ("single-signature", TYPE, BODY, &[A], 1, true),
        ("url-safe-base64", TYPE, "-_-_Pj8=", &[URL], 1, true),
        ("payload-type-swapped", "application/vnd.example.other+json", BODY, &[A], 0, false),
        ("non-ascii-payload-type", "application/vnd.ex\u{e4}mple+json", BODY, &[ODD], 1, false),
        ("empty-payload", TYPE, "", &[NONE], 1, true),
        ("empty-payload-type", "", BODY, &[UNTYPED], 1, false),
        ("threshold-two-distinct-keys", TYPE, BODY, &[A, B], 2, true),
        ("threshold-two-one-key-twice", TYPE, BODY, &[A, A], 1, true),
        ("threshold-two-without-keyids", TYPE, BODY, &[A, B], 2, true),
    ];
    for (name, kind, payload, signatures, signers, is_ours) in vectors {
        let entries: Vec<_> = signatures.iter().map(|sig| serde_json::json!({ "sig": sig })).collect();
        let envelope = serde_json::json!({"payload": payload, "payloadType": kind, "signatures": entries}).to_string();
        let report = Verification::begin(envelope.as_bytes(), &trust, &day, 0).finish(None);
        assert_eq!(report.signers.len(), signers, "{name}: {}", report.message);
        // What is signed is no statement of ours, which is found only after the signatures and the type.
        let reason = match (signers, is_ours) {
            (0, _) => Reason::Untrusted,
            (_, false) => Reason::PayloadType,
            _ if payload == BODY => Reason::PredicateType,
            _ => Reason::Statement,
        };
        assert_eq!(report.reason, Some(reason), "{name}: {}", report.message);
        let read = Envelope::from_bytes(envelope.as_bytes()).unwrap();
        for (entry, key) in read.signatures.iter().zip(&keys).filter(|_| signers == signatures.len()) {
            assert_eq!(entry.signature, key.sign(&pae(kind, &read.payload)), "{name}");
        }
    }
}

#[test]
fn e16_e17_s05_large_signatures_many_of_them_and_long_hints_cost_nothing() {
    let key = SecretKey::from_seed(&[1; 32]);
    let (trust, day) = (Trust::Key(key.public()), date("2026-11-25").unwrap());
    let good: serde_json::Value = serde_json::from_slice(&Envelope::sign(b"{}".to_vec(), &key).to_bytes()).unwrap();
    let decide = |signatures: serde_json::Value| {
        let mut envelope = good.clone();
        envelope["signatures"] = signatures;
        let report = Verification::begin(envelope.to_string().as_bytes(), &trust, &day, 0).finish(None);
        (report.decision, report.reason)
    };
    let entry = good["signatures"][0].clone();
    let large = serde_json::json!({"sig": "A".repeat(4 << 18)});
    assert_eq!(decide(serde_json::json!([large])), (Decision::Refused, Some(Reason::Untrusted)));
    assert_eq!(decide(vec![entry.clone(); 10_000].into()), (Decision::Malformed, Some(Reason::Envelope)));
    let mut hint = entry;
    hint["keyid"] = "a".repeat(1 << 20).into();
    assert_eq!(decide(serde_json::json!([hint])), (Decision::Malformed, Some(Reason::Envelope)));
}
