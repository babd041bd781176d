//! Bodies without their content encoding, for reading; what is stored and sent on is the bytes as they came.

use std::io::Read;

/// The largest body that is taken, encoded or decoded.
pub(crate) const LARGEST: usize = 60 << 20;
/// Content encodings on top of each other that are undone.
const LAYERS: usize = 3;

/// Says why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// An encoding that nobody has registered, or too many of them.
    #[error("the content encoding {0:?} is not one of gzip, deflate, br and zstd")]
    Unknown(String),
    /// More comes out than is taken.
    #[error("the decoded body is larger than {LARGEST} bytes")]
    TooLarge,
    /// The bytes are not of that encoding.
    #[error("the body is not what its content encoding {0:?} says")]
    Damaged(String),
}

/// Returns the body without its content encoding.
///
/// # Errors
/// An unknown encoding, damaged bytes, or more than 60 MiB.
pub fn decoded(body: &[u8], encoding: &str) -> Result<Vec<u8>, BodyError> {
    let names: Vec<String> = encoding
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if names.len() > LAYERS {
        return Err(BodyError::Unknown(encoding.chars().take(60).collect()));
    }
    // The last one named was applied last (RFC 9110 §8.4).
    names.iter().rev().try_fold(body.to_vec(), |body, name| undo(&body, name))
}

fn undo(body: &[u8], name: &str) -> Result<Vec<u8>, BodyError> {
    let damaged = || BodyError::Damaged(name.chars().take(20).collect());
    let reader: Box<dyn Read + '_> = match name {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(body)),
        // RFC 9110 says zlib; some clients send the bare stream.
        "deflate" if body.first().is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(body))
        }
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(body)),
        "br" => Box::new(brotli_decompressor::Decompressor::new(body, 4096)),
        "zstd" => Box::new(zstd::Decoder::new(body).map_err(|_| damaged())?),
        _ => return Err(BodyError::Unknown(name.chars().take(60).collect())),
    };
    let mut out = Vec::new();
    reader.take(LARGEST as u64 + 1).read_to_end(&mut out).map_err(|_| damaged())?;
    if out.len() > LARGEST { Err(BodyError::TooLarge) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_encoding_is_undone_and_bombs_are_not() {
        let text = b"{\"a\":1}".repeat(50);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        bare.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        // `br` of "hello": one stored meta-block.
        let br = [0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
        assert_eq!(decoded(&gzip, "gzip").unwrap(), text);
        assert_eq!(decoded(&zlib.finish().unwrap(), "deflate").unwrap(), text);
        assert_eq!(decoded(&bare.finish().unwrap(), "deflate").unwrap(), text);
        assert_eq!(decoded(&zstd, "zstd").unwrap(), text);
        assert_eq!(decoded(&br, "br").unwrap(), b"hello");
        assert_eq!(decoded(&zstd::encode_all(&gzip[..], 3).unwrap(), "gzip, zstd").unwrap(), text);
        assert_eq!(decoded(b"x", "identity").unwrap(), b"x");
        assert!(matches!(decoded(b"x", "gzip"), Err(BodyError::Damaged(_))));
        assert!(matches!(decoded(b"x", "rot13"), Err(BodyError::Unknown(_))));
        let bomb = zstd::encode_all(&vec![0; LARGEST + 1][..], 1).unwrap();
        assert!(bomb.len() < 10_000 && matches!(decoded(&bomb, "zstd"), Err(BodyError::TooLarge)));
    }
}
