use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const IDENTITY: Result<&str, NotAcceptable> = Ok("identity");
const REFUSED: Result<&str, NotAcceptable> = Err(NotAcceptable);

#[track_caller]
fn check(lines: &[&str], expect: Result<&str, NotAcceptable>) {
    let accepts = AcceptEncoding::parse(lines.iter().map(|line| line.as_bytes()));
    let picked = accepts
        .negotiate(&Coding::ALL)
        .map(|coding| coding.map_or("identity", Coding::as_str));
    assert_eq!(picked, expect, "for {lines:?}");
}

#[test]
fn a_client_that_names_no_coding_gets_identity() {
    check(&[], IDENTITY);
    check(&[""], IDENTITY);
    check(&[" \t"], IDENTITY);
    check(&[",, ,"], IDENTITY);
    check(&["identity"], IDENTITY);
    check(&["deflate, compress"], IDENTITY);
}

#[test]
fn the_highest_quality_wins() {
    check(&["gzip"], Ok("gzip"));
    check(&["br"], Ok("br"));
    check(&["zstd"], Ok("zstd"));
    check(&["br;q=0.1, zstd;q=0.2, gzip;q=0.3"], Ok("gzip"));
    check(&["br;q=0.8, gzip;q=0.9"], Ok("gzip"));
    check(&["br;q=0.001, gzip;q=0.000"], Ok("br"));
    check(&["br;q=0.999, gzip;q=1.000"], Ok("gzip"));
    check(&["gzip, deflate, br, zstd"], Ok("br"));
}

#[test]
fn at_equal_quality_brotli_goes_before_zstd_before_gzip() {
    check(&["gzip, zstd, br"], Ok("br"));
    check(&["gzip, zstd"], Ok("zstd"));
    check(&["gzip;q=0.5, zstd;q=0.5, br;q=0.5"], Ok("br"));
    check(&["gzip;q=1.0, br;q=1.000"], Ok("br"));
}

#[test]
fn the_order_of_the_offer_breaks_ties_and_bounds_the_choice() {
    let accepts = AcceptEncoding::parse([&b"br, zstd, gzip"[..]]);
    let cheapest = [Coding::Zstd, Coding::Brotli];
    assert_eq!(accepts.negotiate(&cheapest), Ok(Some(Coding::Zstd)));
    assert_eq!(accepts.negotiate(&[Coding::Gzip]), Ok(Some(Coding::Gzip)));
    assert_eq!(accepts.negotiate(&[]), Ok(None));
}

#[test]
fn the_wildcard_stands_for_what_is_not_listed() {
    check(&["*"], Ok("br"));
    check(&["*;q=0.5"], Ok("br"));
    check(&["*, br;q=0"], Ok("zstd"));
    check(&["br;q=0, zstd;q=0, *"], Ok("gzip"));
    check(&["gzip;q=0.5, *;q=0.1"], Ok("gzip"));
    check(&["gzip;q=0.1, *;q=0.5"], Ok("br"));
    check(&["gzip;q=0, *"], Ok("br"));
    check(&["gzip, *;q=0"], Ok("gzip"));
    check(&["br;q=0, zstd;q=0, gzip;q=0, *"], IDENTITY);
}

#[test]
fn a_refused_coding_is_never_picked() {
    check(&["br;q=0, gzip"], Ok("gzip"));
    check(&["br;q=0.0, zstd;q=0.00, gzip;q=0.000"], IDENTITY);
    check(&["gzip;q=0"], IDENTITY);
    check(&["gzip;q=0."], IDENTITY);
}

#[test]
fn identity_competes_by_its_quality() {
    check(&["identity, gzip"], Ok("gzip"));
    check(&["identity;q=0.5, gzip;q=0.5"], Ok("gzip"));
    check(&["identity;q=1, gzip;q=0.5"], IDENTITY);
    check(&["identity;q=0.5, *;q=0.1"], IDENTITY);
    check(&["gzip;q=0.5"], Ok("gzip"));
}

#[test]
fn refusing_identity_and_all_codings_leaves_nothing() {
    check(&["identity;q=0"], REFUSED);
    check(&["*;q=0"], REFUSED);
    check(&["deflate, *;q=0"], REFUSED);
    check(&["identity;q=0, br;q=0, zstd;q=0, gzip;q=0"], REFUSED);
    check(&["*, identity;q=0"], Ok("br"));
    check(&["identity;q=0, gzip;q=0.001"], Ok("gzip"));
    check(&["*;q=0, identity"], IDENTITY);
    check(&["*;q=0, identity;q=0.1"], IDENTITY);
}

#[test]
fn case_and_optional_white_space_do_not_matter() {
    check(&["GZIP"], Ok("gzip"));
    check(&["Br;Q=0, Zstd"], Ok("zstd"));
    check(&["  br \t;\t q=0 ,\tgzip  "], Ok("gzip"));
    check(&["IDENTITY;Q=0"], REFUSED);
}

#[test]
fn x_gzip_is_gzip() {
    check(&["x-gzip"], Ok("gzip"));
    check(&["X-GZIP;q=0.5"], Ok("gzip"));
    check(&["gzip;q=0, x-gzip"], IDENTITY);
}

#[test]
fn several_lines_are_one_list() {
    check(&["gzip;q=0.5", "br;q=0.1"], Ok("gzip"));
    check(&["identity;q=0", "*;q=0"], REFUSED);
    check(&["", "gzip"], Ok("gzip"));
}

#[test]
fn of_duplicates_the_lower_quality_counts() {
    check(&["gzip;q=0, gzip"], IDENTITY);
    check(&["gzip, gzip;q=0"], IDENTITY);
    check(&["br, br;q=0.1, gzip;q=0.5"], Ok("gzip"));
    check(&["*, *;q=0"], REFUSED);
}

#[test]
fn a_malformed_member_is_ignored() {
    let malformed = [
        "2", "-1", "1.0001", "1.001", "0.1234", "abc", "", ".5", "00", "0,5", "0.5.", " 1", "+1",
        "\"1\"", "1;x=y", "0.a",
    ];
    for quality in malformed {
        check(&[&format!("br;q={quality}, gzip;q=0.1")], Ok("gzip"));
    }
    check(&["br;, gzip"], Ok("gzip"));
    check(&["br;level=5, gzip"], Ok("gzip"));
    check(&["br;q =0, gzip"], Ok("gzip"));
    check(&["\"br\", gzip"], Ok("gzip"));
    check(&["br gzip"], IDENTITY);
    check(&["identity;q=nonsense"], IDENTITY);
}

#[test]
fn a_name_matches_whole_or_not_at_all() {
    check(&["brotli"], IDENTITY);
    check(&["notgzip, gzipped"], IDENTITY);
    check(&["zstd-d, dcz, dcb, xx-gzip"], IDENTITY);
    check(&["**"], IDENTITY);
}

#[test]
fn bytes_beyond_ascii_are_read_past() {
    let accepts = AcceptEncoding::parse([&b"\xff\xfe, g\xc3\xbcip, gzip\xa0, zstd"[..]]);
    assert_eq!(accepts.negotiate(&Coding::ALL), Ok(Some(Coding::Zstd)));
}

#[test]
fn a_very_long_header_is_read_to_its_end() {
    let header = format!("{}gzip", "deflate;q=0.5, ".repeat(64 * 1024 / 15));
    check(&[&header], Ok("gzip"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(lines in vec(vec(any::<u8>(), 0..80), 0..4)) {
        let accepts = AcceptEncoding::parse(lines.iter().map(Vec::as_slice));
        match accepts.negotiate(&Coding::ALL) {
            Ok(None) => prop_assert!(accepts.accepts_identity()),
            Ok(Some(_)) => prop_assert!(!lines.is_empty()),
            Err(NotAcceptable) => prop_assert!(!accepts.accepts_identity()),
        }
    }

    /// The members are the model: what is picked must follow from them alone.
    #[test]
    fn what_is_picked_was_accepted_and_never_refused(
        members in vec(
            (select(vec!["br", "zstd", "gzip", "identity", "*", "deflate"]), 0..=1000_u16),
            0..8,
        ),
        space in "[ \t]{0,2}",
    ) {
        let header = members
            .iter()
            .map(|(name, q)| format!("{space}{name}{space};{space}q={}.{:03}", q / 1000, q % 1000))
            .collect::<Vec<_>>()
            .join(",");
        let lowest = |name: &str| {
            let listed = members.iter().filter(|(it, _)| *it == name);
            listed.map(|(_, q)| *q).min()
        };
        let quality = |name: &str| lowest(name).or(lowest("*"));

        let accepts = AcceptEncoding::parse([header.as_bytes()]);
        match accepts.negotiate(&Coding::ALL) {
            Ok(Some(picked)) => {
                let q = quality(picked.as_str()).unwrap_or(0);
                prop_assert!(q > 0);
                for other in Coding::ALL {
                    prop_assert!(quality(other.as_str()).unwrap_or(0) <= q);
                }
                prop_assert!(quality("identity").unwrap_or(0) <= q);
            }
            Ok(None) => prop_assert!(accepts.accepts_identity()),
            Err(NotAcceptable) => {
                prop_assert_eq!(quality("identity"), Some(0));
                for coding in Coding::ALL {
                    prop_assert_eq!(quality(coding.as_str()).unwrap_or(0), 0);
                }
            }
        }
        prop_assert_eq!(accepts.accepts_identity(), quality("identity") != Some(0));
    }
}
