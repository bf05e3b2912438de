//! What a decoder must hold in memory, read off the headers (RFC 8878 §3.1.1.1, RFC 7932 §9.1).

use ruleiq_compression::{Coding, Config};

use crate::content::{encoder, json};

const MIB: u64 = 1024 * 1024;

/// The window that a zstd frame declares, and the content size if it does.
fn zstd_header(frame: &[u8]) -> (u64, Option<u64>) {
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd], "not a zstd frame");
    let descriptor = frame[4];
    let is_single_segment = descriptor & 0b10_0000 != 0;
    let size_width = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    let size_at = if is_single_segment { 5 } else { 6 };
    let mut size = [0; 8];
    size[..size_width].copy_from_slice(&frame[size_at..size_at + size_width]);
    let bias = if size_width == 2 { 256 } else { 0 };
    let content = (size_width > 0).then(|| u64::from_le_bytes(size) + bias);
    if is_single_segment {
        (content.unwrap(), content)
    } else {
        let base = 1_u64 << (10 + (frame[5] >> 3));
        (base + base / 8 * u64::from(frame[5] & 7), content)
    }
}

#[test]
fn zstd_declares_the_size_and_a_window_that_every_client_allows() {
    // Larger than the largest window allowed. Zeros, because they are encoded fast.
    let body = vec![0; 9 * 1024 * 1024];
    for zstd_level in -7..=19 {
        let encoder = encoder(&Config {
            zstd_level: Some(zstd_level),
            ..Config::default()
        });
        let frame = encoder.encode(Coding::Zstd, &body).unwrap();
        let (window, content) = zstd_header(&frame);
        assert_eq!(content, Some(body.len() as u64), "at level {zstd_level}");
        assert!(window <= 8 * MIB, "{window} bytes at level {zstd_level}");
    }
}

#[test]
fn a_zstd_window_is_not_larger_than_the_body() {
    let body = json(1500);
    let frame = encoder(&Config::default())
        .encode(Coding::Zstd, &body)
        .unwrap();
    assert_eq!(zstd_header(&frame).0, body.len() as u64);
}

#[test]
fn brotli_declares_a_window_that_fits_the_body() {
    // The first bits: 0 is 16; 1 and three more are 17 plus their value, but 0 for 17 itself.
    let window_log = |size_bytes| {
        let body = json(size_bytes);
        let encoded = encoder(&Config::default())
            .encode(Coding::Brotli, &body)
            .unwrap();
        match (encoded[0] & 1, encoded[0] >> 1 & 0b111) {
            (0, _) => 16,
            (_, 0) if encoded[0] & 0x7f == 1 => 17,
            (_, more) => 17 + more,
        }
    };
    assert_eq!(window_log(1500), 17);
    assert_eq!(window_log(100_000), 17);
    assert_eq!(window_log(140_000), 18);
    assert_eq!(window_log(1_000_000), 20);
    assert_eq!(window_log(5_000_000), 22);
}
