//! How hard a body is encoded, and in which of the codings that its client likes as much as each other.

use std::{iter, time::Duration};

use crate::{
    BuildError, Choice, Coding, Config, Load, Preference, body::Body, config::Levels,
    cost::CostModel,
};

/// Bodies up to this size have zstd's level 1 by default.
const SMALL_BYTES: usize = 32 * 1024;

/// How hard bodies are encoded: levels, a budget, and what comes first among codings that are liked equally.
///
/// Made of a [`Config`], or of what it says of one [route](Config::routes).
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    preference: Preference,
    budget: Duration,
    brotli_level: i32,
    /// None for one by the size.
    zstd_level: Option<i32>,
    gzip_level: i32,
}

/// Why a body is encoded as it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It is what comes first.
    First,
    /// What comes first would take more than the budget.
    Budget,
    /// There is much to do.
    Load,
    /// Too many bodies wait to be encoded.
    Busy,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 4] = [Reason::First, Reason::Budget, Reason::Load, Reason::Busy];

    /// The reason's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::First => "first",
            Reason::Budget => "budget",
            Reason::Load => "load",
            Reason::Busy => "busy",
        }
    }
}

impl Effort {
    /// That of a configuration where no route says otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`Encoder::new`](crate::Encoder::new).
    pub fn new(config: &Config) -> Result<Effort, BuildError> {
        Effort::of(config, &Levels::default())
    }

    /// That of a configuration with what one of its routes says.
    pub(crate) fn of(config: &Config, route: &Levels) -> Result<Effort, BuildError> {
        let level = |coding, level, choice, is_valid| match is_valid {
            true => Ok(level),
            false => Err(BuildError::Level {
                coding,
                level,
                choice,
            }),
        };
        let brotli = route.brotli_level.unwrap_or(config.brotli_level);
        let zstd = route.zstd_level.or(config.zstd_level);
        let gzip = route.gzip_level.unwrap_or(config.gzip_level);
        let budget = route.cpu_budget_us.unwrap_or(config.cpu_budget_us);
        let is_brotli = matches!(brotli, 0..=8 | 10 | 11);
        Ok(Effort {
            preference: route.preference.unwrap_or(config.preference),
            budget: Duration::from_micros(budget),
            brotli_level: level(Coding::Brotli, brotli, "0 to 8, 10, 11", is_brotli)?,
            zstd_level: zstd
                .map(|it| level(Coding::Zstd, it, "-7 to 19", matches!(it, -7..=19)))
                .transpose()?,
            gzip_level: level(Coding::Gzip, gzip, "1 to 9", matches!(gzip, 1..=9))?,
        })
    }

    /// The first of these codings that has a level within the budget for this body, and the highest such level; or else
    /// what is cheapest. A stream has the first coding. `None` without codings.
    pub(crate) fn choose(
        &self,
        costs: &CostModel,
        codings: &[Coding],
        body: Body,
        load: Load,
    ) -> Option<(Choice, Reason)> {
        let first = *codings.first()?;
        let size = body.size_bytes.unwrap_or(SMALL_BYTES);
        let cost = |it: &Choice| costs.predict(body.kind, *it, size);
        let mut order = [first; Coding::ALL.len()];
        let order = &mut order[..codings.len().min(Coding::ALL.len())];
        order.copy_from_slice(&codings[..order.len()]);
        if self.preference == Preference::Cheapest || load > Load::Normal {
            let at = |coding: Coding| match body.size_bytes {
                None => self.of_stream(coding, load),
                Some(size) => Choice {
                    coding,
                    level: self.highest(coding, Some(size)),
                },
            };
            // Stable: those that cost the same keep their order.
            order.sort_by_key(|it| cost(&at(*it)));
        }
        let Some(size) = body.size_bytes else {
            let reason = match load {
                Load::Normal => Reason::First,
                Load::High | Load::Overload => Reason::Load,
            };
            return Some((self.of_stream(order[0], load), reason));
        };
        let all = order.iter().flat_map(|coding| {
            let rungs = self.rungs(*coding, size);
            rungs.map(|level| Choice {
                coding: *coding,
                level,
            })
        });
        if load > Load::Normal {
            return all.min_by_key(cost).map(|it| (it, Reason::Load));
        }
        let highest = all.clone().next()?;
        if cost(&highest) <= self.budget {
            return Some((highest, Reason::First));
        }
        let within = all.clone().find(|it| cost(it) <= self.budget);
        let choice = within.or_else(|| all.min_by_key(cost))?;
        let reason = match choice == highest {
            true => Reason::First,
            false => Reason::Budget,
        };
        Some((choice, reason))
    }

    /// What a coding's streams are encoded at. Their blocks are encoded where they come, and they last: at most what takes a
    /// block a few milliseconds, and a stream a megabyte. Brotli's level 4 takes three times the memory of 3.
    pub(crate) fn of_stream(&self, coding: Coding, load: Load) -> Choice {
        let highest = self.highest(coding, None);
        let level = match (coding, load) {
            (Coding::Brotli, Load::Normal) => highest.min(3),
            // Level 1 does not look back beyond a flush.
            (Coding::Brotli, _) => highest.min(2),
            (Coding::Zstd | Coding::Gzip, Load::Normal) => highest.min(6),
            (Coding::Zstd, _) => highest.min(1),
            (Coding::Gzip, _) => highest.min(4),
        };
        Choice { coding, level }
    }

    /// The level of a coding that is set.
    fn highest(&self, coding: Coding, size_bytes: Option<usize>) -> i32 {
        match coding {
            Coding::Brotli => self.brotli_level,
            Coding::Zstd => {
                let is_small = size_bytes.is_some_and(|it| it <= SMALL_BYTES);
                self.zstd_level.unwrap_or(if is_small { 1 } else { 3 })
            }
            Coding::Gzip => self.gzip_level,
        }
    }

    /// The levels for a body of this size, from the highest down.
    fn rungs(
        &self,
        coding: Coding,
        size_bytes: usize,
    ) -> impl Iterator<Item = i32> + Clone + use<> {
        let highest = self.highest(coding, Some(size_bytes));
        let lower: &[i32] = match coding {
            Coding::Brotli => &[4, 3, 2],
            Coding::Zstd => &[3, 1],
            // Its levels below that save little.
            Coding::Gzip => &[4],
        };
        let lower = lower.iter().copied().filter(move |it| *it < highest);
        iter::once(highest).chain(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        config: &Config,
        codings: &[Coding],
        size: Option<usize>,
        load: Load,
    ) -> Option<(Choice, Reason)> {
        let body = Body {
            size_bytes: size,
            ..Body::default()
        };
        let effort = Effort::new(config).unwrap();
        effort.choose(&CostModel::new(), codings, body, load)
    }

    fn chosen(coding: Coding, level: i32, reason: Reason) -> Option<(Choice, Reason)> {
        Some((Choice { coding, level }, reason))
    }

    const ALL: &[Coding] = &Coding::ALL;
    const GZIP: &[Coding] = &[Coding::Gzip];
    const ZSTD: &[Coding] = &[Coding::Zstd];

    #[test]
    fn the_level_fits_the_size_and_the_budget() {
        let config = Config::default();
        let check = |codings: &[Coding], size, coding, level, reason| {
            let found = choose(&config, codings, size, Load::Normal);
            assert_eq!(
                found,
                chosen(coding, level, reason),
                "{codings:?}, {size:?}"
            );
        };
        let (first, budget) = (Reason::First, Reason::Budget);
        check(ALL, Some(10_000), Coding::Brotli, 4, first);
        check(ALL, Some(180_000), Coding::Brotli, 3, budget);
        check(ALL, Some(240_000), Coding::Brotli, 2, budget);
        check(ALL, Some(500_000), Coding::Zstd, 3, budget);
        check(ALL, Some(900_000), Coding::Zstd, 1, budget);
        // Beyond the budget the cheapest is taken.
        check(ALL, Some(8_000_000), Coding::Zstd, 1, budget);
        check(GZIP, Some(8_000_000), Coding::Gzip, 4, first);
        check(
            &[Coding::Zstd, Coding::Brotli],
            Some(32 * 1024),
            Coding::Zstd,
            1,
            first,
        );
        check(ZSTD, Some(32 * 1024 + 1), Coding::Zstd, 3, first);
        check(ALL, None, Coding::Brotli, 3, first);
        check(ZSTD, None, Coding::Zstd, 3, first);
        assert_eq!(choose(&config, &[], Some(1), Load::Normal), None);
        assert_eq!(choose(&config, &[], None, Load::High), None);
    }

    #[test]
    fn the_cheapest_comes_first_where_that_is_preferred() {
        let config = Config {
            preference: Preference::Cheapest,
            ..Config::default()
        };
        let check = |codings: &[Coding], size, coding, level| {
            let found = choose(&config, codings, size, Load::Normal);
            assert_eq!(
                found,
                chosen(coding, level, Reason::First),
                "{codings:?}, {size:?}"
            );
        };
        check(ALL, Some(10_000), Coding::Zstd, 1);
        check(ALL, Some(100_000), Coding::Zstd, 3);
        check(
            &[Coding::Brotli, Coding::Gzip],
            Some(10_000),
            Coding::Gzip,
            4,
        );
        check(&[Coding::Brotli], Some(10_000), Coding::Brotli, 4);
        check(ALL, None, Coding::Zstd, 3);
    }

    #[test]
    fn under_load_each_client_gets_what_costs_least() {
        let config = Config::default();
        for load in [Load::High, Load::Overload] {
            let check = |codings: &[Coding], size, coding, level| {
                let found = choose(&config, codings, size, load);
                assert_eq!(
                    found,
                    chosen(coding, level, Reason::Load),
                    "{codings:?}, {size:?}"
                );
            };
            check(ALL, Some(10_000), Coding::Zstd, 1);
            check(ALL, Some(100_000), Coding::Zstd, 1);
            check(
                &[Coding::Brotli, Coding::Gzip],
                Some(10_000),
                Coding::Brotli,
                2,
            );
            check(GZIP, Some(10_000), Coding::Gzip, 4);
            check(ALL, None, Coding::Zstd, 1);
            check(&[Coding::Brotli], None, Coding::Brotli, 2);
            check(GZIP, None, Coding::Gzip, 4);
        }
    }

    #[test]
    fn what_was_learned_of_the_cost_decides() {
        let costs = CostModel::new();
        let body = Body {
            size_bytes: Some(100_000),
            ..Body::default()
        };
        let effort = Effort::new(&Config::default()).unwrap();
        let choose = |body, load| effort.choose(&costs, ALL, body, load);
        let brotli = |level, reason| chosen(Coding::Brotli, level, reason);
        let learn = |level, millis| {
            let coding = Coding::Brotli;
            let cpu = Duration::from_millis(millis);
            for _ in 0..200 {
                costs.learn(body.kind, Choice { coding, level }, 100_000, cpu);
            }
        };
        assert_eq!(choose(body, Load::Normal), brotli(4, Reason::First));
        learn(4, 3);
        assert_eq!(choose(body, Load::Normal), brotli(3, Reason::Budget));
        let markup = Body {
            kind: crate::Kind::Markup,
            ..body
        };
        assert_eq!(choose(markup, Load::Normal), brotli(4, Reason::First));
        // What is in its place tells when it is cheap enough again.
        learn(3, 1);
        assert_eq!(choose(body, Load::Normal), brotli(4, Reason::First));
        // However cheap one level was found to be, a lower one is cheaper.
        learn(4, 0);
        let under_load = effort.choose(&costs, &[Coding::Brotli], body, Load::High);
        assert_eq!(under_load, brotli(2, Reason::Load));
    }

    #[test]
    fn of_streams_under_load_what_they_would_be_encoded_at_is_compared() {
        let found = choose(
            &Config::default(),
            &[Coding::Brotli, Coding::Gzip],
            None,
            Load::High,
        );
        assert_eq!(found, chosen(Coding::Brotli, 2, Reason::Load));
        let config = Config {
            zstd_level: Some(19),
            ..Config::default()
        };
        let found = choose(&config, ALL, None, Load::High);
        assert_eq!(found, chosen(Coding::Zstd, 1, Reason::Load));
    }

    #[test]
    fn a_level_that_a_coding_does_not_have_is_refused_of_a_route_too() {
        let route = Levels {
            brotli_level: Some(9),
            ..Levels::default()
        };
        assert!(Effort::of(&Config::default(), &route).is_err());
    }
}
