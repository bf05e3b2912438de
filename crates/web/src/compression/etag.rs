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

/// A list of tags in which those of variants in these codings stand as the handler knows them, too, and those variants;
/// `None` where there are none. They stay in it: a handler may have one that only looks like a variant's.
pub(super) fn of_handler(list: &str, codings: &[Coding]) -> Option<(String, Vec<Box<str>>)> {
    let mut variants: Vec<Box<str>> = Vec::new();
    let mut tags = Vec::new();
    for tag in Tags(list) {
        tags.push(tag.to_owned());
        if let Some((known, coding)) = as_handlers(tag)
            && codings.contains(&coding)
        {
            variants.push(tag.into());
            tags.push(known);
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
        let own = variants
            .iter()
            .filter_map(|it| Some((&**it, as_handlers(it)?)));
        own.filter(|(_, (known, _))| opaque(known) == opaque(tag))
    };
    let best = its_own().find(|(_, (_, own))| Some(*own) == coding);
    best.or_else(|| its_own().next())
        .map(|(variant, _)| variant)
}

/// A variant's tag without what makes it one, and its coding.
fn as_handlers(tag: &str) -> Option<(String, Coding)> {
    let (weak, rest) = match tag.strip_prefix("W/") {
        Some(rest) => ("W/", rest),
        None => ("", tag),
    };
    let opaque = rest.strip_prefix('"')?.strip_suffix('"')?;
    let (opaque, coding) = without_variant(opaque)?;
    Some((format!("{weak}\"{opaque}\""), coding))
}

fn without_variant(opaque: &str) -> Option<(&str, Coding)> {
    Coding::ALL.into_iter().find_map(|coding| {
        let at = opaque.rfind(&format!("-{coding}"))?;
        let level = &opaque[at + 1 + coding.as_str().len()..];
        let digits = level.strip_prefix('-').unwrap_or(level);
        let is_number = digits.bytes().all(|it| it.is_ascii_digit());
        let level: i32 = level.parse().ok().filter(|_| is_number)?;
        let exists = match coding {
            Coding::Brotli => (0..=11).contains(&level),
            Coding::Zstd => (-7..=19).contains(&level),
            Coding::Gzip => (1..=9).contains(&level),
        };
        exists.then_some((&opaque[..at], coding))
    })
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

    fn known(tag: &str) -> Option<String> {
        as_handlers(tag).map(|(known, _)| known)
    }

    #[test]
    fn a_variant_has_a_tag_of_its_own_that_leads_back() {
        for (coding, level, expect) in [
            (Coding::Brotli, 4, "\"abc-br4\""),
            (Coding::Zstd, -7, "\"abc-zstd-7\""),
            (Coding::Gzip, 9, "\"abc-gzip9\""),
        ] {
            let tag = of_variant("\"abc\"", Choice { coding, level }).unwrap();
            assert_eq!(tag, expect);
            let weak = format!("W/{tag}");
            assert_eq!(as_handlers(&tag), Some(("\"abc\"".to_owned(), coding)));
            assert_eq!(known(&weak).as_deref(), Some("W/\"abc\""));
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
            "\"home-pt-br12\"",
            "\"abc-gzip0\"",
            "\"2024-br2024\"",
        ] {
            assert_eq!(known(tag), None, "{tag}");
            assert_eq!(of_handler(tag, &Coding::ALL), None, "{tag}");
        }
    }

    #[test]
    fn a_list_comes_to_the_handler_as_it_knows_it() {
        let check = |list, codings: &[Coding], expect: Option<&str>, variants: &[&str]| {
            let found = of_handler(list, codings);
            let (list, own) = found.map_or((None, vec![]), |(list, own)| (Some(list), own));
            assert_eq!(list.as_deref(), expect);
            assert!(own.iter().map(|it| &**it).eq(variants.iter().copied()));
        };
        let all = &Coding::ALL;
        check("\"a\", \"b\"", all, None, &[]);
        check("\"a-br4\"", all, Some("\"a-br4\", \"a\""), &["\"a-br4\""]);
        check(
            "\"a,-br4\" ,,W/\"b-zstd3\",\t\"c\"",
            all,
            Some("\"a,-br4\", \"a,\", W/\"b-zstd3\", W/\"b\", \"c\""),
            &["\"a,-br4\"", "W/\"b-zstd3\""],
        );
        check(
            "nonsense, \"a-br4\"",
            all,
            Some("nonsense, \"a-br4\", \"a\""),
            &["\"a-br4\""],
        );
        // The client would get something else now.
        check("\"a-br4\"", &[Coding::Gzip], None, &[]);
    }

    #[test]
    fn a_client_is_told_the_tag_that_it_has() {
        let variants: Vec<Box<str>> = [
            "\"b-br4\"",
            "\"a-branch-zstd3\"",
            "\"a-br4\"",
            "\"a-zstd3\"",
            "\"a-branch-br4\"",
        ]
        .map(Into::into)
        .into();
        let check = |tag, coding, expect| assert_eq!(of_client(&variants, tag, coding), expect);
        check("\"a\"", Some(Coding::Zstd), Some("\"a-zstd3\""));
        check("W/\"a\"", None, Some("\"a-br4\""));
        check(
            "\"a-branch\"",
            Some(Coding::Brotli),
            Some("\"a-branch-br4\""),
        );
        check("\"c\"", Some(Coding::Brotli), None);
    }
}
