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
    ] {
        assert_eq!(Date::from_unix(seconds).to_string(), day);
        assert_eq!(date(day).unwrap(), Date::from_unix(seconds));
    }
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
