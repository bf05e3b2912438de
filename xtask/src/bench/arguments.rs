//! The command line of `bench`. What contradicts itself, or would not be obeyed, is refused.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
};

use clap::ValueEnum;

/// The most operations under way at once.
const MOST_UNDER_WAY: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
/// What says something of cases alone, by the names of the fields. A scale study has none, and
/// nothing in it is judged.
const OF_CASES: [&str; 14] = [
    "against",
    "baseline",
    "blocks",
    "cases",
    "component",
    "concurrency",
    "instructions",
    "iterations",
    "lenient",
    "list",
    "quick",
    "resume",
    "save",
    "without_allocations",
];

#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 fine; 1 slower than before, or a critical target missed; 2 not \
                  measured, or wrong answers; 3 a comparison or a critical target is undecided; \
                  130 interrupted"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    #[command(flatten)]
    pub(super) measuring: Measuring,
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum Action {
    /// Render a stored report again, from its rounds
    Report {
        /// The report, as `--json` or `--save` wrote it
        file: PathBuf,
        #[command(flatten)]
        render: Render,
    },
    /// Show that the harness sees what is there, and nothing else
    SelfTest {
        /// Run this part alone
        #[arg(long, value_enum, value_name = "PART")]
        only: Option<SelfTest>,
        /// Draw the orders of the trials from this number, as an earlier self-test tells it
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
}

#[derive(clap::Args, Debug, Default)]
pub(super) struct Render {
    /// Write it as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write it as a page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Count what is undecided as fine
    #[arg(long)]
    pub(super) lenient: bool,
}

/// A part of the self-test.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum SelfTest {
    /// A case against itself, and against itself made 10 % slower, also beside a busy neighbour
    Noise,
    /// The load client against wrk and oha, and before a server that stalls
    Client,
}

/// What is measured and how.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Measuring {
    /// Measure this part alone (may be repeated)
    #[arg(long, value_enum, value_name = "NAME")]
    pub(super) component: Vec<Component>,
    /// Measure the cases whose `component/case` or `case` matches, with `*` and `?` (may be
    /// repeated)
    #[arg(long = "case", value_name = "GLOB")]
    pub(super) cases: Vec<String>,
    /// Only the guide's targets and the first case of each engine, in few short blocks: in minutes,
    /// with nothing finer than 15 % claimed
    #[arg(long)]
    pub(super) quick: bool,
    /// So many blocks of each case
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroUsize>)]
    pub(super) blocks: Option<NonZeroUsize>,
    /// So many operations under way at once. Cases that are about one number keep it:
    /// `cache/l1_hit*`, `cache/l2_hit_*`, `cache/key`, `pools/checkout`, and all of compression and
    /// optimizer
    #[arg(long, value_name = "N", value_parser = under_way)]
    pub(super) concurrency: Option<NonZeroUsize>,
    /// So many operations of each slice, in place of a time
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU64>)]
    pub(super) iterations: Option<NonZeroU64>,
    /// Draw everything from this number, as an earlier report tells it
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Compare with a stored run, which has to be of this machine, these settings and these data
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub(super) baseline: Option<PathBuf>,
    /// Take a stored run of a tree with changes that were not committed
    #[arg(long, requires = "baseline")]
    pub(super) allow_dirty: bool,
    /// Compare with a revision, which is built aside and measured in the same blocks
    #[arg(long, value_name = "REV")]
    pub(super) against: Option<String>,
    /// Keep this run for later comparisons; refused with changes that are not committed
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Write the report as JSON there, in place of target/bench/report.json
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a page there, in place of target/bench/report.html
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Only list the cases
    #[arg(long)]
    pub(super) list: bool,
    /// Go on with the run that was interrupted
    #[arg(long, conflicts_with = "fresh")]
    pub(super) resume: bool,
    /// Count the instructions of hot paths too, where valgrind is installed
    #[arg(long)]
    pub(super) instructions: bool,
    /// Leave out the pass that counts allocations
    #[arg(long)]
    pub(super) without_allocations: bool,
    /// Measure how cost grows with data, connections, keys and cache, in place of the cases
    #[arg(long, conflicts_with_all = OF_CASES)]
    pub(super) scale_study: bool,
    /// The time that the scale study is given; the more, the further it goes
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU64>, requires = "scale_study")]
    pub(super) seconds: Option<NonZeroU64>,
    /// Count what is undecided as fine
    #[arg(long)]
    pub(super) lenient: bool,
    /// Start over: throw the servers' data, the earlier revisions' programs and partial results
    /// away
    #[arg(long)]
    pub(super) fresh: bool,
}

/// A part of the system, as reports name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Component {
    Database,
    Cache,
    Pools,
    Optimizer,
    Compression,
    Http,
    All,
}

impl Measuring {
    /// The names of the components, none for all.
    pub(super) fn components(&self) -> Vec<String> {
        if self.component.contains(&Component::All) {
            return Vec::new();
        }
        self.component.iter().map(|it| it.name()).collect()
    }
}

impl Component {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|it| it.get_name().to_owned()).unwrap_or_default()
    }
}

/// Reads how many operations are under way at once, each of which may take a connection.
fn under_way(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|it| *it <= MOST_UNDER_WAY);
    number.ok_or_else(|| format!("it has to be a whole number, from 1 to {MOST_UNDER_WAY}"))
}

/// Reads a number that must not be zero.
fn positive<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse()
        .map_err(|_| "it has to be a whole number, at least 1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = ["bench"].into_iter().chain(line.split(' '));
        let parsed = Cli::try_parse_from(words).map_err(|it| it.to_string());
        parsed.map(|it| it.arguments)
    }

    #[test]
    fn a_scale_study_refuses_what_it_does_not_obey() {
        let of_cases = [
            "--against HEAD",
            "--baseline a.json",
            "--baseline a.json --allow-dirty",
            "--blocks 12",
            "--case l1_*",
            "--component cache",
            "--concurrency 2",
            "--instructions",
            "--iterations 10",
            "--lenient",
            "--list",
            "--quick",
            "--resume",
            "--save a.json",
            "--without-allocations",
        ];
        for word in of_cases {
            assert!(parse(word).is_ok(), "{word}");
            for line in [
                format!("--scale-study {word}"),
                format!("{word} --scale-study"),
            ] {
                let told = parse(&line).unwrap_err();
                let name = word.split(' ').next().unwrap();
                let is_told = told.contains("cannot be used with")
                    && told.contains("--scale-study")
                    && told.contains(name);
                assert!(is_told, "{line}: {told}");
            }
        }
        let obeyed = "--scale-study --seconds 60 --seed 1 --json a.json --html a.html --fresh";
        assert!(parse(obeyed).is_ok());
    }

    #[test]
    fn the_seed_of_an_earlier_self_test_can_be_given() {
        let check = |line: &str, part: Option<SelfTest>, expect: Option<u64>| {
            let Some(Action::SelfTest { only, seed }) = parse(line).unwrap().action else {
                panic!("`{line}` is no self-test");
            };
            assert_eq!((only, seed), (part, expect), "{line}");
        };
        check("self-test", None, None);
        check("self-test --seed 7", None, Some(7));
        check(
            "self-test --only noise --seed 7",
            Some(SelfTest::Noise),
            Some(7),
        );
    }

    #[test]
    fn no_more_is_under_way_than_connections_can_be() {
        assert_eq!(under_way("10000"), Ok(MOST_UNDER_WAY));
        for text in ["0", "10001", "-1", "18446744073709551615", "many"] {
            let refused = under_way(text);
            assert!(refused.is_err_and(|it| it.contains("10000")), "{text}");
        }
    }

    #[test]
    fn all_components_are_said_by_naming_none() {
        let check = |component: &[Component], expect: &[&str]| {
            let asked = Measuring {
                component: component.to_vec(),
                ..Measuring::default()
            };
            assert_eq!(asked.components(), expect, "{component:?}");
        };
        check(&[], &[]);
        check(&[Component::Pools, Component::Http], &["pools", "http"]);
        check(&[Component::Pools, Component::All], &[]);
    }
}
