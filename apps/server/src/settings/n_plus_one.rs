//! What becomes of requests that run a statement again and again.

use std::num::NonZeroU32;

use ruleiq_performance::{db_optimizer::n_plus_one::DEFAULT_THRESHOLD, web::NPlusOneMode};

use super::{
    Environment,
    reader::{Reader, Setting},
};

/// Whether a statement that one request runs again and again is told of, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NPlusOne {
    pub(crate) mode: NPlusOneMode,
    pub(crate) threshold: NonZeroU32,
}

impl NPlusOne {
    pub(super) fn read(from: &mut Reader<'_>, environment: Environment) -> NPlusOne {
        let settings = NPlusOne {
            mode: from.value(
                "N_PLUS_ONE",
                NPlusOneMode::Off,
                "What becomes of a request that runs one statement again and again: `off`, `header`, \
                 `log`, or in development `fail`",
            ),
            threshold: from.value(
                "N_PLUS_ONE_THRESHOLD",
                DEFAULT_THRESHOLD,
                "How often a request runs a statement from one line for that; from 2 on",
            ),
        };
        from.check(settings.suits(environment));
        settings
    }

    fn suits(self, environment: Environment) -> Result<(), &'static str> {
        let is_production = environment == Environment::Production;
        match self.mode == NPlusOneMode::Fail && is_production {
            true => Err(
                "N_PLUS_ONE is `fail`, which fails requests that would succeed: it needs \
                 RULEIQ_ENV=development; `log` tells of them everywhere",
            ),
            false => Ok(()),
        }
    }
}

impl Setting for NPlusOneMode {
    const EXPECTED: &'static str = "`off`, `header`, `log` or `fail`";

    fn parse(text: &str) -> Option<NPlusOneMode> {
        match text {
            "off" => Some(NPlusOneMode::Off),
            "header" => Some(NPlusOneMode::Header),
            "log" => Some(NPlusOneMode::Log),
            "fail" => Some(NPlusOneMode::Fail),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            NPlusOneMode::Off => "off",
            NPlusOneMode::Header => "header",
            NPlusOneMode::Log => "log",
            NPlusOneMode::Fail => "fail",
        }
        .to_owned()
    }
}
