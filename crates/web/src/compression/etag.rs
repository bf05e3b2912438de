//! Entity tags of variants: an encoded body has one of its own, as a strong tag promises the same bytes
//! (RFC 9110 §8.8.3).
//!
//! `"abc"` is `"abc-br4"` as brotli at level 4. Handlers know nothing of that: what clients have got comes back
//! to them as they gave it.

use ruleiq_compression::{Choice, Coding};

/// The tag of a variant, of a handler's tag. One that looks like a variant's becomes weak, since nobody could tell what
/// it was; a weak one promises nothing that encoding breaks.
pub(super) fn of_variant(tag: &str, choice: Choice) -> Option<String> {
    let Choice { coding, level } = choice;
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    Some(match without_variant(opaque) {
        None => format!("\"{opaque}-{coding}{level}\""),
        Some(_) => format!("W/{tag}"),
    })
}

/// A list of tags as the handler knows them, and those of variants in it; `None` where there are none.
pub(super) fn of_handler(list: &str) -> Option<(String, Vec<Box<str>>)> {
    let mut variants: Vec<Box<str>> = Vec::new();
    let mut tags = Vec::new();
    for tag in Tags(list) {
        match as_handlers(tag) {
            Some(known) => {
                variants.push(tag.into());
                tags.push(known);
            }
            None => tags.push(tag.to_owned()),
        }
    }
    (!variants.is_empty()).then(|| (tags.join(", "), variants))
}

/// Of the tags of variants that a client has, the one that a handler's tag stands for; best that of this coding.
pub(super) fn of_client<'a>(
    variants: &'a [Box<str>],
    tag: &str,
    coding: Option<Coding>,
) -> Option<&'a str> {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let its_own = || {
        let own = variants.iter().map(|it| &**it);
        own.filter(|it| as_handlers(it).is_some_and(|it| opaque(&it) == opaque(tag)))
    };
    let is_of = |it: &&str| coding.is_some_and(|coding| it.contains(&format!("-{coding}")));
    its_own().find(is_of).or_else(|| its_own().next())
}

/// A variant's tag without what makes it one.
fn as_handlers(tag: &str) -> Option<String> {
    let (weak, rest) = match tag.strip_prefix("W/") {
        Some(rest) => ("W/", rest),
        None => ("", tag),
    };
    let opaque = rest.strip_prefix('"')?.strip_suffix('"')?;
    Some(format!("{weak}\"{}\"", without_variant(opaque)?))
}

fn without_variant(opaque: &str) -> Option<&str> {
    let before_level = opaque.trim_end_matches(|it: char| it.is_ascii_digit());
    let has_level = before_level.len() < opaque.len();
    // A level can be negative.
    let before_level = before_level
        .strip_suffix('-')
        .filter(|it| {
            Coding::ALL
                .iter()
                .any(|coding| it.ends_with(coding.as_str()))
        })
        .unwrap_or(before_level);
    let of = |coding: Coding| {
        before_level
            .strip_suffix(coding.as_str())?
            .strip_suffix('-')
    };
    Coding::ALL.into_iter().find_map(of).filter(|_| has_level)
}

/// The members of a list of entity tags, whose commas may stand within quotes. What is none is a member as well.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let Tags(rest) = self;
        let list = rest.trim_start_matches([' ', '\t', ',']);
        if list.is_empty() {
            return None;
        }
        let opaque = list.strip_prefix("W/").unwrap_or(list);
        let quoted = opaque.strip_prefix('"').and_then(|it| it.find('"'));
        let end = match quoted {
            // With both quotes.
            Some(length) => list.len() - opaque.len() + length + 2,
            None => list.find(',').unwrap_or(list.len()),
        };
        *rest = &list[end..];
        Some(list[..end].trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_a_tag_of_its_own_that_leads_back() {
        for (coding, level, expect) in [
            (Coding::Brotli, 4, "\"abc-br4\""),
            (Coding::Zstd, -7, "\"abc-zstd-7\""),
            (Coding::Gzip, 11, "\"abc-gzip11\""),
        ] {
            let tag = of_variant("\"abc\"", Choice { coding, level }).unwrap();
            assert_eq!(tag, expect);
            assert_eq!(as_handlers(&tag).as_deref(), Some("\"abc\""));
            let weak = format!("W/{tag}");
            assert_eq!(as_handlers(&weak).as_deref(), Some("W/\"abc\""));
        }
        let brotli = Choice {
            coding: Coding::Brotli,
            level: 4,
        };
        assert_eq!(of_variant("\"\"", brotli).as_deref(), Some("\"-br4\""));
        for tag in ["W/\"abc\"", "abc", "\"abc", "", "\""] {
            assert_eq!(of_variant(tag, brotli), None, "{tag}");
        }
        let own = of_variant("\"abc-br4\"", brotli);
        assert_eq!(own.as_deref(), Some("W/\"abc-br4\""));
    }

    #[test]
    fn what_is_no_variant_stays() {
        for tag in [
            "\"abc\"",
            "\"abc-br\"",
            "\"abc-4\"",
            "\"br4\"",
            "\"abc-brx4\"",
            "\"abc--4\"",
            "*",
            "abc-br4",
            "",
            "\"abc-br4",
            "\"abc-br+4\"",
        ] {
            assert_eq!(as_handlers(tag), None, "{tag}");
            assert_eq!(of_handler(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_list_comes_to_the_handler_as_it_knows_it() {
        let check = |list, expect: Option<&str>, variants: &[&str]| {
            let found = of_handler(list);
            let (list, own) = found.map_or((None, vec![]), |(list, own)| (Some(list), own));
            assert_eq!(list.as_deref(), expect);
            assert!(own.iter().map(|it| &**it).eq(variants.iter().copied()));
        };
        check("\"a\", \"b\"", None, &[]);
        check("\"a-br4\"", Some("\"a\""), &["\"a-br4\""]);
        check(
            "\"a,-br4\" ,,W/\"b-zstd3\",\t\"c\"",
            Some("\"a,\", W/\"b\", \"c\""),
            &["\"a,-br4\"", "W/\"b-zstd3\""],
        );
        check(
            "nonsense, \"a-br4\"",
            Some("nonsense, \"a\""),
            &["\"a-br4\""],
        );
    }

    #[test]
    fn a_client_is_told_the_tag_that_it_has() {
        let variants: Vec<Box<str>> =
            vec!["\"b-br4\"".into(), "\"a-br4\"".into(), "\"a-zstd3\"".into()];
        let check = |tag, coding, expect| assert_eq!(of_client(&variants, tag, coding), expect);
        check("\"a\"", Some(Coding::Zstd), Some("\"a-zstd3\""));
        check("\"a\"", Some(Coding::Gzip), Some("\"a-br4\""));
        check("W/\"a\"", None, Some("\"a-br4\""));
        check("\"c\"", Some(Coding::Brotli), None);
    }
}
